//! A site of ours, and what clients have of it.

use crate::harness::{Server, process};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// Puts a file where it belongs, last changed on 6 November 1994, 08:49:37 GMT.
pub(crate) fn put(path: &Path, content: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
    file.set_modified(time).unwrap();
}

/// A server with a site below it, and a place for what clients write.
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) root: PathBuf,
    pub(crate) place: PathBuf,
    pub(crate) url: String,
    /// Of the site and of the place.
    _directory: TempDir,
}

impl Site {
    pub(crate) fn new(model: &str, keys: &str, build: impl FnOnce(&Path)) -> Self {
        // Not in /tmp, which may be memory.
        let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let root = directory.path().join("root");
        let place = directory.path().join("place");
        std::fs::create_dir_all(&root).unwrap();
        std::fs::create_dir_all(&place).unwrap();
        build(&root);
        let server = Server::run(&format!(
            "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n{keys}\n\
             [pool.web.http]\nroot = \"{root}\"\nlisting = true\n\
             [pool.web.http.path.\"/cgi-bin/\"]\ncgi = true\n",
            root = root.display()
        ));
        let url = format!("http://{}", server.address("web"));
        Self {
            server,
            root,
            place,
            url,
            _directory: directory,
        }
    }

    /// Runs a client in the place; all that it says.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, program: &str, arguments: &[S]) -> Output {
        Command::new(program)
            .args(arguments)
            .current_dir(&self.place)
            .env("LC_ALL", "C.UTF-8")
            .env_remove("http_proxy")
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}: is it installed?"))
    }

    /// What curl writes, which must be content. Other arguments than the URL
    /// come first: `target` is below the server.
    pub(crate) fn curl(&self, arguments: &[&str], target: &str) -> Vec<u8> {
        let output = self.try_curl(arguments, target);
        assert!(
            output.status.success(),
            "{arguments:?} {target}: {output:?}"
        );
        output.stdout
    }

    pub(crate) fn try_curl(&self, arguments: &[&str], target: &str) -> Output {
        let url = format!("{}{target}", self.url);
        let mut all = vec!["--silent", "--show-error", "--noproxy", "*"];
        all.extend_from_slice(arguments);
        all.push(&url);
        self.run("curl", &all)
    }

    /// The same in words.
    pub(crate) fn told(&self, arguments: &[&str], target: &str) -> String {
        String::from_utf8(self.curl(arguments, target)).unwrap()
    }

    /// The status that curl sees.
    pub(crate) fn status(&self, arguments: &[&str], target: &str) -> u16 {
        let mut all = vec!["-o", "answer", "-w", "%{http_code}"];
        all.extend_from_slice(arguments);
        self.told(&all, target).parse().unwrap()
    }

    pub(crate) fn wget(&self, arguments: &[&str]) {
        let mut all = vec!["--no-verbose", "--no-proxy", "--tries=1", "--timeout=20"];
        all.extend_from_slice(arguments);
        let output = self.run("wget", &all);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.place.join(name)).unwrap()
    }

    /// The largest resident size that any of the workers has had, in KiB.
    pub(crate) fn peak(&self) -> u64 {
        let size = |pid| {
            let text = process::status(pid, "VmHWM");
            text.split(' ')
                .next()
                .unwrap_or_default()
                .parse()
                .unwrap_or(0)
        };
        let workers = self.server.workers();
        workers.into_iter().map(size).max().unwrap()
    }
}
