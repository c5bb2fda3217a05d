//! The installed files by themselves, as systemd's own tools read them.

use std::process::Command;

use crate::harness::{BINARY, UNITS, can, run, unit, write_units};

#[test]
fn systemd_finds_nothing_to_complain_of() {
    if !can(false, &["systemd-analyze"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    write_units(dir.path(), BINARY);
    for name in ["vidstreamd.service", "vidstreamd@relay.service"] {
        let path = dir.path().join(name);
        let done = run(Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(path));
        // Of an unknown key it prints a line and still succeeds.
        assert_eq!(done, (Some(0), String::new()), "{name}");
    }
}

#[test]
fn a_unit_exposes_little_of_the_system() {
    if !can(false, &["systemd-analyze"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    write_units(dir.path(), BINARY);
    for name in UNITS {
        let arguments = ["security", "--no-pager", "--offline=true", "--threshold=15"];
        let path = dir.path().join(name);
        let (status, text) = run(Command::new("systemd-analyze").args(arguments).arg(path));
        assert_eq!(status, Some(0), "more than 1.5: {text}");
        println!("{}", text.lines().last().unwrap_or_default());
    }
}

#[test]
fn the_server_and_the_instances_have_the_same_settings() {
    let settings = |name: &str| -> Vec<String> {
        let lines = unit(name).replace("%i", "server");
        let kept = |l: &&str| !l.starts_with('#') && !l.starts_with("Description=");
        lines.lines().filter(kept).map(str::to_owned).collect()
    };
    assert_eq!(settings(UNITS[0]), settings(UNITS[1]));
}
