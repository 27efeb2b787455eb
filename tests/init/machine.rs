//! A directory that is a machine for a while.

use crate::harness::{SOON, eventually, server};
use crate::succeed;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

/// Where the test's own files are.
const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/init");

/// What both kinds have in them: systemd is there in both, and is process 1 in one.
const PACKAGES: &str = "sysvinit-core,sysv-rc,systemd,iproute2,curl,procps,logrotate";

/// Who is process 1.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Init {
    Sysvinit,
    Systemd,
}

/// A Debian in a directory. It is gone with this value, whatever runs in it.
pub(crate) struct Machine {
    init: Init,
    root: TempDir,
    running: Option<Running>,
}

/// One that is switched on.
struct Running {
    /// unshare(1), which waits for process 1.
    child: Child,
    /// For systemd, which wants control groups below its own.
    group: Option<PathBuf>,
}

impl Machine {
    /// One that has never been switched on, with the package at `package`.
    pub(crate) fn new(init: Init, package: &Path) -> Self {
        let root = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = root.path();
        let base = base();
        let everything = format!("{}/.", base.to_str().unwrap());
        succeed(60, &["cp", "-a", &everything, path.to_str().unwrap()]);
        let give = |from: &Path, to: &str| fs::copy(from, path.join(to)).unwrap();
        give(package, "preforkd.deb");
        let files = Path::new(FILES);
        give(&files.join("tries"), "tries");
        fs::create_dir(path.join("checkout")).unwrap();
        give(&server::program(), "checkout/preforkd");
        let scripts = files.join("../../scripts");
        let checkout = path.join("checkout");
        let [scripts, checkout] = [&scripts, &checkout].map(|path| path.to_str().unwrap());
        succeed(60, &["cp", "-R", scripts, checkout]);
        match init {
            Init::Sysvinit => {
                give(&files.join("sysvinit"), "scenario");
                give(&files.join("inittab"), "etc/inittab");
                forget_services(&path.join("etc"));
            }
            Init::Systemd => {
                give(&files.join("systemd"), "scenario");
                let units = path.join("etc/systemd/system");
                let name = "scenario.service";
                give(&files.join(name), &format!("etc/systemd/system/{name}"));
                let wants = units.join("multi-user.target.wants");
                fs::create_dir_all(&wants).unwrap();
                symlink(format!("../{name}"), wants.join(name)).unwrap();
            }
        }
        Self {
            init,
            root,
            running: None,
        }
    }

    /// Switches it on, waits until the part `stage` of its scenario is over, and
    /// asserts that all went well in it.
    pub(crate) fn run(&mut self, stage: &str, patience: Duration) {
        let report = self.root.path().join("report");
        fs::write(self.root.path().join("stage"), stage).unwrap();
        fs::write(&report, "").unwrap();
        self.running = Some(Running::start(self.init, self.root.path()));
        let end = format!("end of {stage}\n");
        let read = || fs::read_to_string(&report).unwrap();
        let deadline = std::time::Instant::now() + patience;
        while !read().ends_with(&end) && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
        }
        self.running = None;
        let report = read();
        let load = fs::read_to_string(self.root.path().join("load")).unwrap_or_default();
        println!("{report}{load}");
        let failed: Vec<&str> = report
            .lines()
            .filter(|line| !line.starts_with("ok ") && !end.starts_with(line))
            .collect();
        assert!(failed.is_empty(), "{stage}: {}", failed.join("\n"));
        assert!(report.ends_with(&end), "{stage} did not end:\n{report}");
        assert!(report.lines().count() > 4, "{stage} tried nothing");
    }
}

impl Running {
    fn start(init: Init, root: &Path) -> Self {
        let (name, group) = match init {
            Init::Sysvinit => ("sysvinit", None),
            Init::Systemd => ("systemd", Some(new_group())),
        };
        let procs = match &group {
            Some(group) => group.join("cgroup.procs"),
            None => PathBuf::from("/dev/null"),
        };
        let output = fs::File::create(root.join("console")).unwrap();
        let child = Command::new("sh")
            .args(["-c", "echo $$ > \"$0\" && exec \"$@\""])
            .arg(procs)
            // Should this process be killed, the machine is gone as well.
            .args(["setpriv", "--pdeathsig=KILL", "--"])
            .args(["unshare", "--mount", "--pid", "--net", "--uts", "--ipc"])
            .args(["--cgroup", "--fork", "--kill-child=KILL"])
            .args([&format!("{FILES}/boot"), root.to_str().unwrap(), name])
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Self { child, group }
    }
}

impl Drop for Running {
    /// Process 1 takes all that it has with it, mounts as well; unshare(1) ends
    /// when that is done.
    fn drop(&mut self) {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let first = children.ok().and_then(|text| text.trim().parse().ok());
        match first {
            Some(first) => {
                let _ = kill(Pid::from_raw(first), Signal::SIGKILL);
            }
            None => {
                let _ = self.child.kill();
            }
        }
        let _ = self.child.wait();
        if let Some(group) = &self.group {
            eventually("the control groups are empty", SOON, || {
                remove_groups(group).ok()
            });
        }
    }
}

/// A minimal Debian, made once and kept where cargo keeps what tests leave.
fn base() -> PathBuf {
    // Another test would make the same one meanwhile, and could not put it there.
    static MAKING: Mutex<()> = Mutex::new(());
    let _alone = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bookworm");
    if !path.exists() {
        let new = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let place = new.path().join("root");
        let packages = format!("--include={PACKAGES}");
        let place = place.to_str().unwrap();
        let command = ["debootstrap", "--variant=minbase", &packages];
        let command = [&command[..], &["bookworm", place]].concat();
        succeed(400, &command);
        // No console of the real machine.
        let console = Path::new(place).join("dev/console");
        fs::remove_file(&console).unwrap();
        symlink("null", &console).unwrap();
        fs::rename(place, &path).unwrap();
    }
    path
}

/// Takes the links of every service out of the runlevels: clocks, swap and file
/// systems are not this machine's to care for.
fn forget_services(etc: &Path) {
    for level in "0123456S".chars() {
        for entry in fs::read_dir(etc.join(format!("rc{level}.d"))).unwrap() {
            let path = entry.unwrap().path();
            if path.is_symlink() && path.file_name().is_some_and(|name| name != "README") {
                fs::remove_file(path).unwrap();
            }
        }
    }
}

/// A control group of version 2, below the topmost.
fn new_group() -> PathBuf {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let fields = mounts.lines().map(|line| line.split(' '));
    let mut fields = fields.filter_map(|mut field| Some((field.nth(1)?, field.next()?)));
    let (top, _) = fields
        .find(|(_, kind)| *kind == "cgroup2")
        .expect("systemd wants control groups of version 2");
    let group = Path::new(top).join(format!("preforkd-test-{}", std::process::id()));
    fs::create_dir(&group).unwrap();
    group
}

/// From the innermost outwards: a group can be removed that has none below it and
/// no process in it.
fn remove_groups(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_groups(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}
