//! vidstreamd: flags, run, exit code.

use std::io::Write as _;
use std::process::ExitCode;

use vidstreamd::daemon;
use vidstreamd::flags::{self, Command, exit};

fn main() -> ExitCode {
    let code = match flags::parse(std::env::args_os().skip(1)) {
        Ok(Command::Run(options)) => daemon::run(&options),
        Ok(Command::Check(options)) => daemon::check(&options),
        Ok(Command::PrintConfig(options)) => daemon::print_config(&options),
        Ok(Command::Version) => print(&flags::version()),
        Ok(Command::Help) => print(&flags::help()),
        Err(error) => {
            writeln!(std::io::stderr(), "vidstreamd: {error}\nTry 'vidstreamd --help'.").ok();
            exit::USAGE
        }
    };
    ExitCode::from(code)
}

fn print(text: &str) -> u8 {
    std::io::stdout().write_all(text.as_bytes()).ok();
    exit::OK
}
