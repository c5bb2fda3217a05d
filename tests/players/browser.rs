//! Chromium without a screen, driven by its debugging protocol over a pipe: opening pages, running
//! scripts in them, pressing keys, pictures of them, and what its media players complained of.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::SOON;

/// What Chromium is told; the last three keep it from every address but ours.
const FLAGS: [&str; 14] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--mute-audio",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--autoplay-policy=no-user-gesture-required",
    "--remote-debugging-pipe",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
];
/// The protocol is spoken on descriptors 3 and 4.
const LAUNCH: &str = "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null";

/// A browser with one page.
pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    calls: u64,
    /// The page, once it is there.
    session: Option<String>,
    /// What it told unasked.
    events: Vec<Value>,
    _profile: TempDir,
}

impl Browser {
    /// Starts it with an empty page of this width and height.
    pub(crate) fn start((width, height): (u32, u32)) -> Self {
        let profile = tempfile::tempdir().expect("a directory");
        let log = fs::File::create(profile.path().join("log")).expect("a log");
        let mut command = Command::new("sh");
        command.args(["-c", LAUNCH, "chromium"]).args(FLAGS).env("HOME", profile.path());
        command.arg(format!("--user-data-dir={}", profile.path().join("profile").display()));
        command.arg(format!("--window-size={width},{height}")).arg("about:blank");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().expect("a shell");
        let to = child.stdin.take().expect("it was piped");
        let from = follow(child.stdout.take().expect("it was piped"));
        let (session, events) = (None, Vec::new());
        let mut browser = Self { child, to, from, calls: 0, session, events, _profile: profile };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let id = &target["targetId"];
        let attach = json!({"targetId": id, "flatten": true});
        let session = browser.call("Target.attachToTarget", attach);
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Media", "Log"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        let size = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false
        });
        browser.call("Emulation.setDeviceMetricsOverride", size);
        browser
    }

    /// Calls a method of the protocol; what it returns.
    #[expect(clippy::needless_pass_by_value, reason = "callers make it for this")]
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.call_within(method, &parameters, SOON)
    }

    fn call_within(&mut self, method: &str, parameters: &Value, within: Duration) -> Value {
        self.calls += 1;
        let mut message = json!({"id": self.calls, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut bytes = message.to_string().into_bytes();
        bytes.push(0);
        self.to.write_all(&bytes).expect("Chromium listens");
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = self.from.recv_timeout(left);
            let answer = answer.unwrap_or_else(|why| panic!("{method} in {within:?}: {why}"));
            if answer["id"] == json!(self.calls) {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            self.events.push(answer);
        }
    }

    /// Opens an address and waits until the page is whole.
    pub(crate) fn open(&mut self, url: &str) {
        let answer = self.call("Page.navigate", json!({"url": url}));
        assert!(answer["errorText"].is_null(), "{url}: {answer}");
        self.run(
            "new Promise(r => document.readyState === 'complete' ? r() : \
                  addEventListener('load', r))",
        );
    }

    /// Runs a script in every page before the page's own.
    pub(crate) fn before_each_page(&mut self, script: &str) {
        self.call("Page.addScriptToEvaluateOnNewDocument", json!({"source": script}));
    }

    /// The value of a script, or of what it promises.
    pub(crate) fn run(&mut self, script: &str) -> Value {
        self.run_within(script, SOON)
    }

    /// The same for scripts that take long.
    pub(crate) fn run_within(&mut self, script: &str, within: Duration) -> Value {
        let parameters = json!({
            "expression": script, "awaitPromise": true, "returnByValue": true, "userGesture": true
        });
        let answer = self.call_within("Runtime.evaluate", &parameters, within);
        assert!(answer["exceptionDetails"].is_null(), "{script}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Waits until a script says yes.
    pub(crate) fn wait(&mut self, script: &str) {
        let deadline = Instant::now() + SOON;
        while self.run(script) != json!(true) {
            assert!(Instant::now() < deadline, "not within {SOON:?}: {script}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Presses and lets go of a key of this name and code.
    pub(crate) fn press(&mut self, key: &str, code: u32) {
        let text = if key == "Enter" { "\r" } else { "" };
        let mut event = json!({
            "type": if text.is_empty() { "rawKeyDown" } else { "keyDown" },
            "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text
        });
        self.call("Input.dispatchKeyEvent", event.clone());
        event["type"] = json!("keyUp");
        self.call("Input.dispatchKeyEvent", event);
    }

    /// Writes a picture of the page, for whoever wants to look at it.
    pub(crate) fn picture(&mut self, into: &Path) {
        let shot = self.call("Page.captureScreenshot", json!({"format": "png"}));
        let text = shot["data"].as_str().expect("a picture");
        fs::write(into, base64(text)).expect("a file");
    }

    /// Errors and warnings of its media players and of the page so far.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        self.run("0");
        self.events.iter().flat_map(faults).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.session = None;
        let goodbye = b"{\"id\":0,\"method\":\"Browser.close\"}\0";
        // It may have ended by itself; then there is nobody to tell and nothing to kill.
        self.to.write_all(goodbye).ok();
        let deadline = Instant::now() + Duration::from_secs(5);
        while self.child.try_wait().is_ok_and(|status| status.is_none())
            && Instant::now() < deadline
        {
            thread::sleep(Duration::from_millis(20));
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Messages of the protocol, each ended by a zero.
fn follow(from: ChildStdout) -> Receiver<Value> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let messages = BufReader::new(from).split(0).map_while(Result::ok);
        for message in messages.filter_map(|bytes| serde_json::from_slice(&bytes).ok()) {
            if sender.send(message).is_err() {
                return;
            }
        }
    });
    receiver
}

/// What of an event is a fault.
fn faults(event: &Value) -> Vec<String> {
    let parameters = &event["params"];
    let all = |key: &str| parameters[key].as_array().cloned().unwrap_or_default();
    match event["method"].as_str().unwrap_or_default() {
        "Media.playerErrorsRaised" => all("errors").iter().map(Value::to_string).collect(),
        "Media.playerMessagesLogged" => {
            let messages = all("messages");
            let grave = |m: &&Value| m["level"] == "error" || m["level"] == "warning";
            let grave = messages.iter().filter(grave).map(Value::to_string);
            // A tag of a playlist that it does not use.
            grave.filter(|text| !text.contains("ParseWarning")).collect()
        }
        "Runtime.exceptionThrown" => vec![parameters.to_string()],
        "Log.entryAdded" if parameters["entry"]["level"] == "error" => {
            let entry = parameters["entry"].to_string();
            // It asks for a picture of the site, which there is none of.
            if entry.contains("favicon.ico") { Vec::new() } else { vec![entry] }
        }
        _ => Vec::new(),
    }
}

fn base64(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value = |letter: &u8| LETTERS.iter().position(|l| l == letter);
    let sixes: Vec<usize> = text.as_bytes().iter().filter_map(value).collect();
    let mut bytes = Vec::with_capacity(sixes.len() * 3 / 4);
    for four in sixes.chunks(4) {
        let bits = four.iter().enumerate().fold(0, |bits, (at, six)| bits | six << (18 - 6 * at));
        let three = [bits >> 16, bits >> 8, bits];
        let whole = three.iter().take(four.len() - 1);
        bytes.extend(whole.map(|byte| u8::try_from(byte & 0xff).expect("a byte")));
    }
    bytes
}

#[test]
fn base64_is_read() {
    assert_eq!(base64("TWFu"), b"Man");
    assert_eq!(base64("TWE="), b"Ma");
    assert_eq!(base64("TQ=="), b"M");
}
