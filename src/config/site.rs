//! What an HTTP service serves under which name and path, as it was said:
//! hosts, rules for paths, and what they have in common.
//!
//! Nothing is merged here: a rule holds what its table says, so that it can be
//! shown again. The service flattens it when a worker starts.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::htpasswd::Passwords;
use super::network::{Access, Clients};
use super::{Http, Symlinks};

/// What a host or a path says; `None` for what it takes from what contains it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Names tried for a directory, in order.
    pub index: Option<Vec<String>>,
    /// Whether names that begin with a dot are served.
    pub dotfiles: Option<bool>,
    /// What symbolic links may do.
    pub symlinks: Option<Symlinks>,
    /// Whether a directory without an index is listed.
    pub listing: Option<bool>,
    /// What is sent instead of nothing; `Some(None)`: nothing is.
    pub fallback: Option<Option<String>>,
    /// Files for answers that went wrong, beside those that hold already.
    pub error_pages: Vec<ErrorPage>,
    /// Fields of answers, beside those that hold already.
    pub headers: Vec<Header>,
    /// Who may come in.
    pub access: Option<Access>,
    /// Who must say a password; `Some(None)`: nobody must.
    pub auth: Option<Option<Auth>>,
    /// The longest request body, in octets.
    pub max_body: Option<u64>,
}

/// A `[pool.NAME.http.host."HOST"]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name, in lower case and without a dot at its end; perhaps `*.` and a name.
    pub name: String,
    /// Further names.
    pub names: Vec<String>,
    /// Its directory, absolute; `None`: that of the default host.
    pub root: Option<PathBuf>,
    /// What it says otherwise.
    pub scope: Scope,
    /// Its paths, in the order of the file.
    pub paths: Vec<PathRule>,
}

/// A `[pool.NAME.http.path."PATH"]` table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathRule {
    /// What it is about.
    pub pattern: Pattern,
    /// What it says otherwise.
    pub scope: Scope,
    /// What is there, where it is not the files that are there anyway.
    pub content: Option<Content>,
    /// Whether files are programs that are run (CGI).
    pub cgi: Option<bool>,
}

/// Which paths a rule is about. Paths are meant decoded and without dot
/// segments; all begin with a slash.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    /// Exactly this one; it does not end with a slash.
    Exact(String),
    /// This directory and everything below; ends with a slash.
    Prefix(String),
    /// Every name that ends so, in letters of any case; begins with a dot.
    Extension(String),
}

/// What is under a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// The files of another directory, absolute. Only for a prefix.
    Alias(PathBuf),
    /// Something elsewhere.
    Redirect(Redirect),
    /// A fixed answer.
    Respond(Respond),
}

/// Where a client is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// A path with one leading slash, or an absolute http or https URI; for a
    /// prefix the rest of the path is appended.
    pub to: String,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// The `[pool.NAME.http.cgi]` table: what programs may do, where rules for
/// paths say that files are programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgi {
    /// How long a program may take in all.
    pub timeout: Duration,
    /// How long it may write nothing.
    pub silence_timeout: Duration,
    /// How long it has between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Programs at once in one worker, 1..=65536.
    pub max_children: u32,
    /// Address space of each, in octets.
    pub memory: Option<u64>,
    /// Processor time of each, in whole seconds.
    pub processor_time: Option<Duration>,
    /// Added to the nice value, 0..=19.
    pub nice: u8,
    /// Variables of the server's environment that are passed on.
    pub pass: Vec<String>,
    /// Whether Authorization is passed on.
    pub authorization: bool,
}

/// The `[pool.NAME.http.status]` table: the paths under which the server says
/// how it is, in every host and before any rule for a path. `None`: nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusPages {
    /// The page.
    pub page: Option<String>,
    /// The metrics.
    pub metrics: Option<String>,
    /// Whether the server answers; for everybody.
    pub health: Option<String>,
    /// Whether new clients are welcome; for everybody.
    pub readiness: Option<String>,
    /// Who may see the page and the metrics.
    pub access: Access,
}

/// A fixed answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Respond {
    /// One of [`RESPOND_STATUSES`].
    pub status: u16,
    /// The value of Content-Type.
    pub content_type: String,
    /// The content.
    pub body: String,
}

/// A file for answers with a status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorPage {
    /// One of [`ERROR_PAGE_STATUSES`].
    pub status: u16,
    /// The path that is sent, as a client would ask for it.
    pub path: String,
}

/// A field of answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name, a token.
    pub name: String,
    /// Its value; an empty one takes the field back that a wider rule set.
    pub value: String,
}

/// Who must say a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// What the client is told that the password is for.
    pub realm: String,
    /// Where the passwords stand.
    pub file: PathBuf,
    /// What stood there when the configuration was read.
    pub users: Arc<Passwords>,
}

/// Which field names the client where a trusted proxy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// `X-Forwarded-For`.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// `X-Real-IP`.
    XRealIp,
}

/// Whom we believe about who the client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// The proxies.
    pub proxies: Clients,
    /// The field they write.
    pub field: Forwarded,
}

/// Statuses a fixed answer may have.
pub const RESPOND_STATUSES: &[u16] = &[200, 403, 404, 410, 451, 503];

/// Statuses a file may be sent for.
pub const ERROR_PAGE_STATUSES: &[u16] = &[401, 403, 404, 405, 410, 451, 500, 503];

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) | Self::Prefix(path) => f.write_str(path),
            Self::Extension(ending) => write!(f, "*{ending}"),
        }
    }
}

impl Pattern {
    /// Reads `/x`, `/x/`, `/x/*`, `*.css`.
    ///
    /// # Errors
    /// What was expected instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(ending) = text.strip_prefix('*') {
            let fits = ending.len() > 1
                && ending.starts_with('.')
                && !ending.contains(['/', '*', '%'])
                && !ending.contains(char::is_control);
            return if fits {
                Ok(Self::Extension(ending.to_ascii_lowercase()))
            } else {
                Err("expected an extension such as \"*.css\"".to_owned())
            };
        }
        let text = text.strip_suffix('*').unwrap_or(text);
        check_path(text)?;
        Ok(if text.ends_with('/') {
            Self::Prefix(text.to_owned())
        } else {
            Self::Exact(text.to_owned())
        })
    }
}

/// Whether `path` is a path as rules mean it.
pub(crate) fn check_path(path: &str) -> Result<(), String> {
    let Some(rest) = path.strip_prefix('/') else {
        return Err(if path.is_empty() || path.contains(':') {
            "expected a path that begins with a slash".to_owned()
        } else {
            format!("did you mean \"/{}\"?", path.escape_debug())
        });
    };
    if path.contains('%') {
        return Err("expected the path as it is, not percent-encoded".to_owned());
    }
    if path.contains(['*', '?', '#']) || path.contains(char::is_control) {
        return Err("expected a path without *, ?, # and control characters".to_owned());
    }
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let is_odd = |segment: &str| matches!(segment, "" | "." | "..");
    if path != "/" && rest.split('/').any(is_odd) {
        return Err("expected a path without empty segments, . and ..".to_owned());
    }
    Ok(())
}

/// A host's name as it is compared: in lower case, without a dot at its end.
///
/// # Errors
/// What was expected instead.
pub(crate) fn host_name(text: &str) -> Result<String, String> {
    let lower = text.to_ascii_lowercase();
    let name = lower.strip_suffix('.').unwrap_or(&lower);
    let (wild, labels) = match name.strip_prefix("*.") {
        Some(labels) => (true, labels),
        None => (false, name),
    };
    if !wild && name.parse::<std::net::Ipv4Addr>().is_ok() {
        return Ok(name.to_owned());
    }
    if let Some(literal) = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        && !wild
        && let Ok(address) = literal.parse::<std::net::Ipv6Addr>()
    {
        return Ok(format!("[{address}]"));
    }
    if let Some((before, port)) = name.rsplit_once(':')
        && port.bytes().all(|byte| byte.is_ascii_digit())
        && is_labels(before)
    {
        return Err(format!("did you mean \"{before}\"? a port does not matter"));
    }
    if is_labels(labels) && name.len() <= LONGEST_HOST {
        Ok(name.to_owned())
    } else {
        Err(
            "expected a name such as \"example.org\" or \"*.example.org\", or an address"
                .to_owned(),
        )
    }
}

/// The longest name of a host (RFC 1035 §2.3.4), in octets.
pub(crate) const LONGEST_HOST: usize = 253;

/// Letters, digits, hyphens and underscores, with dots between.
fn is_labels(text: &str) -> bool {
    text.split('.').all(|label| {
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        (1..=63).contains(&label.len())
            && label.bytes().all(inside)
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

/// A directory that is opened, and what symbolic links may do below it. Its
/// place in [`Http::roots`] is its number.
pub type Root = (PathBuf, Symlinks);

impl Http {
    /// Every directory that files come from, each with each policy that is
    /// asked for anywhere.
    pub fn roots(&self) -> Vec<Root> {
        let mut directories = vec![&self.root];
        let mut policies = vec![self.symlinks];
        let hosts = self.hosts.iter();
        directories.extend(hosts.clone().filter_map(|host| host.root.as_ref()));
        policies.extend(hosts.clone().filter_map(|host| host.scope.symlinks));
        let in_hosts = hosts.flat_map(|host| &host.paths);
        for path in self.paths.iter().chain(in_hosts) {
            if let Some(Content::Alias(directory)) = &path.content {
                directories.push(directory);
            }
            policies.extend(path.scope.symlinks);
        }
        let mut roots = Vec::new();
        for directory in directories {
            for &policy in &policies {
                let root = (directory.clone(), policy);
                if !roots.contains(&root) {
                    roots.push(root);
                }
            }
        }
        roots
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (text, shown) in [
            ("/", "/"),
            ("/x", "/x"),
            ("/x/", "/x/"),
            ("/x/*", "/x/"),
            ("/a b/\u{e4}", "/a b/\u{e4}"),
            ("*.CSS", "*.css"),
            ("*.tar.gz", "*.tar.gz"),
        ] {
            assert_eq!(Pattern::parse(text).unwrap().to_string(), shown);
        }
        for (text, why) in [
            ("x", "did you mean \"/x\"?"),
            ("", "expected a path that begins"),
            ("http://a/", "expected a path that begins"),
            ("//x", "expected a path without empty"),
            ("/x//", "expected a path without empty"),
            ("//", "expected a path without empty"),
            ("/../x", "expected a path without empty"),
            ("/./", "expected a path without empty"),
            ("/%20", "expected the path as it is"),
            ("/a?b", "expected a path without *"),
            ("/a/*/b", "expected a path without *"),
            ("/a\n", "expected a path without *"),
            ("*", "expected an extension"),
            ("*.", "expected an extension"),
            ("*css", "expected an extension"),
            ("*.a/b", "expected an extension"),
        ] {
            let error = Pattern::parse(text).unwrap_err();
            assert!(error.starts_with(why), "{text}: {error}");
        }
    }

    #[test]
    fn host_names() {
        for (text, name) in [
            ("Example.ORG.", "example.org"),
            ("*.example.org", "*.example.org"),
            ("a", "a"),
            ("a_b.c-d", "a_b.c-d"),
            ("192.0.2.1", "192.0.2.1"),
            ("[::0001]", "[::1]"),
        ] {
            assert_eq!(host_name(text), Ok(name.to_owned()));
        }
        for (text, why) in [
            ("example.org:80", "did you mean \"example.org\"?"),
            ("", "expected a name"),
            ("*", "expected a name"),
            ("*.", "expected a name"),
            ("a.*.b", "expected a name"),
            ("a..b", "expected a name"),
            ("-a", "expected a name"),
            ("a/b", "expected a name"),
            ("http://a", "expected a name"),
            ("::1", "expected a name"),
            ("\u{e4}.de", "expected a name"),
        ] {
            let error = host_name(text).unwrap_err();
            assert!(error.starts_with(why), "{text}: {error}");
        }
    }
}
