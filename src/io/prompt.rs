//! A person's lines, or a script's, for a program that waits in `poll`: read in a thread of their
//! own, because line editing (rustyline) can only block, and handed over with a wake-up. Only
//! `vidstream` uses it; the daemon has one thread.

use std::fs;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use mio::{Registry, Token, Waker};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use rustyline::config::Behavior;
use rustyline::history::FileHistory;
use rustyline::{Config, Editor, ExternalPrinter};

/// Lines that are read ahead of what is done.
const AHEAD: usize = 16;

/// What was said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Said {
    /// A line without its end.
    Line(String),
    /// No more will be; `true` when a person wants to leave.
    End(bool),
}

type Printer = Box<dyn FnMut(String) -> bool>;

/// Where lines come from.
pub struct Prompt {
    said: Receiver<Said>,
    /// Prints above the line that is being edited.
    printer: Option<Printer>,
    /// What the terminal was before.
    terminal: Option<Termios>,
    /// The thread may be gone before its last wake-up is seen, which would go with its waker.
    _waker: Arc<Waker>,
}

impl core::fmt::Debug for Prompt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Prompt").field("terminal", &self.terminal.is_some()).finish_non_exhaustive()
    }
}

impl Prompt {
    /// Begins to read: with editing and a history of this name where there is a terminal, else
    /// plainly from standard input. Each line wakes the poll of this registry.
    ///
    /// # Errors
    /// The system's, when there is no waker or no thread.
    pub fn start(registry: &Registry, token: Token, name: &'static str) -> io::Result<Self> {
        let waker = Arc::new(Waker::new(registry, token)?);
        let (sender, said) = sync_channel(AHEAD);
        let tell = Tell { sender, waker: Arc::clone(&waker) };
        if !io::stdin().is_terminal() {
            thread::Builder::new().spawn(move || plain(&tell))?;
            return Ok(Self { said, printer: None, terminal: None, _waker: waker });
        }
        let terminal = tcgetattr(io::stdin()).ok();
        let config = Config::builder().behavior(Behavior::PreferTerm).auto_add_history(true);
        let mut editor: Editor<(), FileHistory> =
            Editor::with_config(config.build()).map_err(io::Error::other)?;
        let history = history(name);
        if let Some(path) = &history {
            // There is none at the first time.
            editor.load_history(path).ok();
        }
        let printer = editor.create_external_printer().ok().map(|mut printer| {
            let print = move |text: String| printer.print(text).is_ok();
            Box::new(print) as Printer
        });
        let prompt = format!("{name}> ");
        thread::Builder::new().spawn(move || edited(editor, &prompt, history.as_deref(), &tell))?;
        Ok(Self { said, printer, terminal, _waker: waker })
    }

    /// The next line, if there is one.
    pub fn take(&mut self) -> Option<Said> {
        self.said.try_recv().ok()
    }

    /// Prints lines for a person, above the one that is being edited.
    pub fn print(&mut self, text: &str) {
        let shown = self.printer.as_mut().is_some_and(|print| print(format!("{text}\n")));
        if !shown {
            // Nobody reads any more: no reason to fail.
            writeln!(io::stderr(), "{text}").ok();
        }
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        // The thread still waits for a line, with a terminal in the state that editing needs.
        if let Some(before) = &self.terminal {
            tcsetattr(io::stdin(), SetArg::TCSANOW, before).ok();
            writeln!(io::stderr()).ok();
        }
    }
}

struct Tell {
    sender: SyncSender<Said>,
    waker: Arc<Waker>,
}

impl Tell {
    /// Whether somebody still listens.
    fn say(&self, said: Said) -> bool {
        self.sender.send(said).is_ok() && self.waker.wake().is_ok()
    }
}

fn plain(tell: &Tell) {
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        if !tell.say(Said::Line(line)) {
            return;
        }
    }
    tell.say(Said::End(false));
}

fn edited(mut editor: Editor<(), FileHistory>, prompt: &str, history: Option<&Path>, tell: &Tell) {
    while let Ok(line) = editor.readline(prompt) {
        if let Some(path) = history {
            editor.append_history(path).ok();
        }
        if !tell.say(Said::Line(line)) {
            return;
        }
    }
    // Ctrl+C, Ctrl+D, or no terminal any more.
    tell.say(Said::End(true));
}

/// Where the lines of earlier runs are kept; none when there is no place for them.
fn history(name: &str) -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let state = variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")));
    let directory = state?.join("vidstream");
    fs::create_dir_all(&directory).ok()?;
    Some(directory.join(format!("{name}_history")))
}
