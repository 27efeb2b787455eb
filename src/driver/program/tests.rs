//! Real programs, without a connection.

use super::*;
use crate::driver::effects::{Links, Roots};
use crate::protocol::{Program, ProgramLimits};
use nix::poll::{PollFd, PollFlags, poll};
use std::os::unix::fs::PermissionsExt;

const LIMITS: ProgramLimits = ProgramLimits {
    children: 2,
    memory: None,
    processor_time: None,
    nice: 0,
    start: Duration::from_secs(20),
    grace: Duration::from_millis(200),
};

/// A directory of scripts, and what counts them.
struct Place {
    directory: tempfile::TempDir,
    roots: Roots,
    programs: Programs,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let roots = Roots::open([(directory.path(), Links::Beneath)]).unwrap();
        let programs = Programs::default();
        Self {
            directory,
            roots,
            programs,
        }
    }

    fn script(&self, name: &str, text: &str) {
        let draft = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(draft.path(), text).unwrap();
        self.install(draft.path(), name);
    }

    /// Puts a program where it is run from. A process of its own writes it: what we
    /// have open for writing, a program has too that another test starts, and so
    /// long it cannot be run (ETXTBSY of execve(2)).
    fn install(&self, source: &std::path::Path, name: &str) {
        let mut install = std::process::Command::new("install");
        install.args(["-D", "-m", "755"]).arg(source);
        install.arg(self.directory.path().join(name));
        assert!(install.status().unwrap().success());
    }

    fn start(&self, path: &str, content: &[u8]) -> Result<Child, RunError> {
        let program = Program {
            root: 0,
            path: path.as_bytes(),
            environment: b"PATH=/usr/bin:/bin\0A=b\0",
            limits: LIMITS,
            subject: None,
        };
        let mut gathered = Content::default();
        assert!(gathered.push(content, u64::MAX));
        let (roots, programs, now) = (&self.roots, &self.programs, Instant::now());
        let prepared = Starting::prepare(&program, &mut gathered, None, roots, programs, now);
        let (starting, work) = prepared?;
        assert!(work.run());
        starting.finish(|| false).map_err(|not_yet| match not_yet {
            NotYet::Never(error) => error,
            NotYet::Again(_, _) => panic!("there is no room to be made"),
        })
    }

    fn run(&self, path: &str, content: &[u8]) -> (String, ProgramEnd) {
        to_end(&mut self.start(path, content).unwrap())
    }
}

/// All that it writes, and how it ends.
fn to_end(child: &mut Child) -> (String, ProgramEnd) {
    let (mut input, mut all) = (Input::default(), Vec::new());
    let begin = Instant::now();
    loop {
        assert!(begin.elapsed() < Duration::from_secs(20), "{child:?}");
        match child.hear(&mut input, Instant::now()) {
            Heard::Bytes => {
                all.extend_from_slice(input.unread());
                input.consume(usize::MAX);
            }
            Heard::Nothing => wait(child),
            Heard::Full => panic!("it was emptied"),
            Heard::Ended(end) => return (String::from_utf8(all).unwrap(), end),
        }
    }
}

fn wait(child: &mut Child) {
    let _ = poll(&mut [PollFd::new(child.as_fd(), PollFlags::POLLIN)], 20u16);
    child.advance(Instant::now());
}

#[test]
fn a_script_runs_where_it_lies_with_what_it_was_given() {
    let place = Place::new();
    let text = "#!/bin/sh\necho \"$A $0 $#\"; pwd; cat; ls /proc/$$/fd\n";
    place.script("in/a.sh", text);
    let (output, end) = place.run("in/a.sh", b"content\n");
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], "b ./a.sh 0");
    let real = std::fs::canonicalize(place.directory.path()).unwrap();
    assert_eq!(lines[1], real.join("in").to_str().unwrap());
    assert_eq!(lines[2], "content");
    let mut numbers: Vec<u32> = lines[3..]
        .iter()
        .map(|number| number.parse().unwrap())
        .collect();
    numbers.sort_unstable();
    // The shell keeps its script open under a number of its own.
    assert_eq!(numbers[..3], [0, 1, 2], "{output}");
    assert!(numbers.len() == 4 && numbers[3] >= 10, "{output}");
    assert_eq!(end, ProgramEnd::Exited(0));
}

#[test]
fn a_binary_has_three_descriptors_and_no_signal_blocked_or_ignored() {
    let place = Place::new();
    place.install(std::path::Path::new("/bin/cat"), "cat");
    place.script(
        "b.sh",
        "#!/bin/sh\ngrep -E '^Sig(Ign|Blk)' /proc/self/status\n",
    );
    assert_eq!(place.run("cat", b"x").0, "x");
    let (output, _) = place.run("b.sh", b"");
    for line in output.lines() {
        let (_, mask) = line.split_once('\t').unwrap();
        let mask = u64::from_str_radix(mask, 16).unwrap();
        // 32 and 33 are the C library's own, which lets nobody set them.
        assert_eq!(mask & !(3 << 31), 0, "{output}");
    }
    place.script(
        "c.sh",
        "#!/bin/sh\nulimit -c; umask; ps -o sid= -p $$; echo $$\n",
    );
    let (output, _) = place.run("c.sh", b"");
    let lines: Vec<&str> = output.lines().map(str::trim).collect();
    assert_eq!((lines[0], lines[1]), ("0", "0022"));
    assert_eq!(lines[2], lines[3], "a session of its own");
}

#[test]
fn what_cannot_be_run_says_why() {
    let place = Place::new();
    place.script("bad", "#!/nowhere/at/all\n");
    std::fs::write(place.directory.path().join("plain"), "x").unwrap();
    let modes = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(place.directory.path().join("plain"), modes).unwrap();
    std::os::unix::fs::symlink("/bin/cat", place.directory.path().join("out")).unwrap();
    let error = |path| place.start(path, b"").err();
    assert_eq!(error("none"), Some(RunError::NotFound));
    assert_eq!(error("plain"), Some(RunError::Denied));
    assert_eq!(error("out"), Some(RunError::Escapes));
    assert_eq!(error(""), Some(RunError::Denied));
    assert_eq!(error("bad"), Some(RunError::Failed));
}

#[test]
fn ends_are_told_apart() {
    let place = Place::new();
    place.script("three", "#!/bin/sh\nexit 3\n");
    place.script("nine", "#!/bin/sh\nkill -9 $$\n");
    assert_eq!(place.run("three", b"").1, ProgramEnd::Exited(3));
    assert_eq!(place.run("nine", b"").1, ProgramEnd::Killed(9));
}

#[test]
fn what_lingers_is_ended_after_its_grace() {
    let place = Place::new();
    place.script("mute", "#!/bin/sh\necho x; exec >&- 2>&-; sleep 1000\n");
    place.script("heir", "#!/bin/sh\nsleep 1000 & echo $!\n");
    place.script(
        "deaf",
        "#!/bin/sh\ntrap '' TERM; echo y; exec >&-\nwhile :; do sleep 1; done\n",
    );
    assert_eq!(
        place.run("mute", b""),
        ("x\n".to_owned(), ProgramEnd::Stopped)
    );
    let (heir, end) = place.run("heir", b"");
    assert_eq!(end, ProgramEnd::Exited(0), "it ended by itself");
    let heir = Pid::from_raw(heir.trim().parse().unwrap());
    let begin = Instant::now();
    while kill(heir, None).is_ok() && !is_zombie(heir) {
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "its child lives on"
        );
        std::thread::yield_now();
    }
    assert_eq!(place.run("deaf", b"").1, ProgramEnd::Stopped);
}

fn is_zombie(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.contains(") Z ")
}

#[test]
fn who_is_told_to_end_does_and_leaves_its_seat() {
    let place = Place::new();
    place.script("s", "#!/bin/sh\nexec sleep 1000\n");
    let mut one = place.start("s", b"").unwrap();
    let two = place.start("s", b"").unwrap();
    assert_eq!(place.start("s", b"").err(), Some(RunError::Busy));
    one.tell(Instant::now());
    let begin = Instant::now();
    while !one.is_gone(Instant::now()) {
        assert!(begin.elapsed() < Duration::from_secs(20));
        wait(&mut one);
    }
    drop((one, two));
    assert_eq!(place.programs.running.load(Ordering::Relaxed), 0);
}

#[test]
fn large_content_and_large_output_do_not_wait_for_each_other() {
    // Rule 127.
    let place = Place::new();
    place.script("w", "#!/bin/sh\nhead -c 1000000 /dev/zero | tr '\\0' x\n");
    let content = vec![b'c'; 2_000_000];
    assert_eq!(place.run("w", &content).0.len(), 1_000_000);
    place.script("c", "#!/bin/sh\nexec cat\n");
    assert_eq!(place.run("c", &content).0.len(), 2_000_000);
}
