//! nginx and Apache, run in the foreground in a directory of the test, with a
//! configuration that says what ours does by default: nothing of the system's
//! own set-up is read or written.
//!
//! Both are told to serve what we do where they leave the choice to their
//! administrator: no hidden files, no listing, `If-Modified-Since` as the RFC
//! has it, encoded slashes. What still differs is in `classes`.

use crate::harness::{SOON, eventually, process};
use nix::sys::signal::Signal;
use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Another server.
pub(crate) struct Peer {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// Whom their workers run as: Apache refuses to serve as root.
pub(crate) const USER: &str = "www-data";

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// For our `[master]` table: the same user as theirs.
pub(crate) fn our_user() -> String {
    if is_root() {
        format!("user = \"{USER}\"")
    } else {
        String::new()
    }
}

impl Peer {
    /// nginx, serving `root`; `place` is where it may write.
    pub(crate) fn nginx(root: &Path, place: &Path) -> Self {
        let user = if is_root() {
            format!("user {USER};")
        } else {
            String::new()
        };
        Self::start("nginx", place, |address, configuration| {
            let (root, place) = (root.display(), place.display());
            let text = format!(
                "daemon off; worker_processes 1; pid {place}/nginx.pid; {user}
                 error_log {place}/nginx.log info;
                 events {{ worker_connections 64; }}
                 http {{
                   access_log off; server_tokens off; sendfile on;
                   client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;
                   fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi;
                   scgi_temp_path {place}/scgi;
                   types {{ text/plain txt; text/html html; text/css css; image/png png; }}
                   default_type application/octet-stream;
                   keepalive_requests 100000; keepalive_timeout 60;
                   gzip_static on; gzip_http_version 1.0; if_modified_since before; absolute_redirect off;
                   server {{
                     listen {address};
                     root {root};
                     index index.html;
                     location ~ (^|/)\\.well-known/\\. {{ return 404; }}
                     location ~ ^/\\.well-known(/|$) {{ }}
                     location ~ /\\. {{ return 404; }}
                     location / {{ }}
                   }}
                 }}"
            );
            std::fs::write(configuration, text).unwrap();
            let mut command = Command::new("nginx");
            command.args(["-e", "stderr", "-p"]).arg(place.to_string());
            command.arg("-c").arg(configuration);
            command
        })
    }

    /// Apache, serving `root`; `place` is where it may write.
    pub(crate) fn apache(root: &Path, place: &Path) -> Self {
        const MODULES: [&str; 6] = [
            "mpm_event",
            "authz_core",
            "dir",
            "autoindex",
            "mime",
            "alias",
        ];
        Self::start("apache2", place, |address, configuration| {
            let (root, place) = (root.display(), place.display());
            let mut text = String::new();
            for module in MODULES {
                let file = format!("/usr/lib/apache2/modules/mod_{module}.so");
                text.push_str(&format!("LoadModule {module}_module {file}\n"));
            }
            text.push_str(&format!(
                "ServerRoot {place}\nServerName localhost\nListen {address}\n\
                 PidFile {place}/apache.pid\nDefaultRuntimeDir {place}\nMutex file:{place}\n\
                 ErrorLog {place}/apache.log\nLogLevel warn\nUser {USER}\nGroup {USER}\n\
                 StartServers 1\nKeepAlive On\nMaxKeepAliveRequests 0\nKeepAliveTimeout 60\n\
                 TraceEnable Off\nAllowEncodedSlashes On\nTypesConfig /dev/null\n\
                 AddType text/plain .txt\nAddType text/html .html\nAddType text/css .css\n\
                 AddType image/png .png\n\
                 DocumentRoot {root}\nDirectoryIndex index.html\n\
                 RedirectMatch 404 \"^/\\.well-known/\\.\"\n\
                 RedirectMatch 404 \"^/\\.(?!well-known(/|$))\"\n\
                 RedirectMatch 404 \"/.*/\\.\"\n\
                 <Directory {root}>\nRequire all granted\nOptions FollowSymLinks\n\
                 AllowOverride None\n</Directory>\n"
            ));
            std::fs::write(configuration, text).unwrap();
            let mut command = Command::new("apache2");
            command.args(["-D", "FOREGROUND", "-f"]).arg(configuration);
            command
        })
    }

    /// Runs it on a port that was free a moment ago; another one if it no
    /// longer is.
    fn start(name: &str, place: &Path, configure: impl Fn(SocketAddr, &Path) -> Command) -> Self {
        std::fs::create_dir_all(place).unwrap();
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = free.local_addr().unwrap();
            drop(free);
            let output = place.join("output");
            let mut command = configure(address, &place.join("configuration"));
            let child = command
                .stdin(Stdio::null())
                .stdout(File::create(&output).unwrap())
                .stderr(File::options().append(true).open(&output).unwrap())
                .spawn()
                .unwrap_or_else(|error| panic!("{name}: {error}: is it installed?"));
            let mut peer = Self { child, address };
            let serves = eventually("a peer serves or gives up", SOON, || {
                if peer.child.try_wait().unwrap().is_some() {
                    return Some(false);
                }
                TcpStream::connect(address).is_ok().then_some(true)
            });
            if serves {
                return peer;
            }
            eprintln!("{name}: {}", std::fs::read_to_string(output).unwrap());
        }
        panic!("{name} does not start");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            process::signal(self.child.id(), Signal::SIGTERM);
        }
        let _ = self.child.wait();
    }
}
