//! Network namespaces: hosts of their own, each with a cable to one of two places, which a link
//! joins. Nothing of it reaches the machine's own network; all of it goes when it is dropped.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::works;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Why there can be no namespaces here; none when there can.
pub(crate) fn obstacle() -> Option<&'static str> {
    if !nix::unistd::geteuid().is_root() {
        Some("network namespaces need root")
    } else if !works("ip", &["netns", "list"]) {
        Some("there is no ip command")
    } else if !Path::new("/dev/net/tun").exists() {
        Some("there is no /dev/net/tun")
    } else {
        let probe = Namespace::try_new();
        if probe.is_some() { None } else { Some("network namespaces cannot be made") }
    }
}

/// Runs `ip` and needs it to succeed.
pub(crate) fn ip(words: &[&str]) {
    let output = Command::new("ip").args(words).output().expect("the ip command");
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {}: {why}", words.join(" "));
}

/// A namespace, gone when it is dropped.
pub(crate) struct Namespace {
    pub(crate) name: String,
}

impl Namespace {
    fn new() -> Self {
        Self::try_new().expect("a namespace")
    }

    fn try_new() -> Option<Self> {
        // The name of a device is made of it: it is short.
        let count = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("vs{}-{count}", std::process::id() % 1_000_000);
        if !works("ip", &["netns", "add", &name]) {
            return None;
        }
        let namespace = Self { name };
        namespace.ip(&["link", "set", "lo", "up"]);
        Some(namespace)
    }

    /// `ip` in here.
    pub(crate) fn ip(&self, words: &[&str]) {
        ip(&[&["-n", &self.name], words].concat());
    }

    /// The words that make a command run in here.
    pub(crate) fn before(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name].map(str::to_owned).to_vec()
    }

    fn forward(&self) {
        let name = &self.name;
        let words = ["netns", "exec", name, "sysctl", "-qw", "net.ipv4.ip_forward=1"];
        ip(&words);
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = works("ip", &["netns", "del", &self.name]);
    }
}

/// A place that cables go to.
pub(crate) struct Place {
    pub(crate) router: Namespace,
    number: u8,
    hosts: u8,
}

impl Place {
    pub(crate) fn new(number: u8) -> Self {
        let router = Namespace::new();
        router.forward();
        Self { router, number, hosts: 0 }
    }

    /// The router's address in its place.
    fn address(&self) -> String {
        format!("10.77.{}.1", self.number)
    }

    /// All addresses of the place.
    pub(crate) fn network(&self) -> String {
        format!("10.77.{}.0/24", self.number)
    }

    /// A host with a cable to here.
    pub(crate) fn host(&mut self) -> Host {
        self.hosts += 1;
        let namespace = Namespace::new();
        let address = format!("10.77.{}.{}", self.number, self.hosts + 1);
        let cable = format!("h{}", self.hosts);
        let (router, here) = (&self.router, self.address());
        let veth = ["type", "veth", "peer", "name", "up0", "netns", &namespace.name];
        router.ip(&[&["link", "add", &cable], &veth[..]].concat());
        router.ip(&["addr", "add", &format!("{here}/32"), "peer", &address, "dev", &cable]);
        router.ip(&["link", "set", &cable, "up"]);
        namespace.ip(&["addr", "add", &format!("{address}/32"), "peer", &here, "dev", "up0"]);
        namespace.ip(&["link", "set", "up0", "up"]);
        namespace.ip(&["route", "add", "default", "via", &here]);
        Host { namespace, address }
    }
}

/// A host of its own.
pub(crate) struct Host {
    pub(crate) namespace: Namespace,
    pub(crate) address: String,
}

impl Host {
    /// Nothing comes and nothing goes any more, and nobody is told.
    pub(crate) fn cut_cable(&self) {
        self.namespace.ip(&["link", "set", "up0", "down"]);
    }
}
