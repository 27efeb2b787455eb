//! CGI/1.1 (RFC 3875): a request as an environment, a program's output as an
//! answer.
//!
//! | file | what it knows |
//! |---|---|
//! | `locate` | where in a path a program may be meant |
//! | `environment` | the variables (§4.1) |
//! | `output` | the header section that a program writes (§6) |
//! | `framing` | how its body is sent on |
//!
//! A request that may be a program's becomes an [`Errand`] while its head is
//! still there; the content is gathered whole before the program runs, because
//! CONTENT_LENGTH must be right (§4.2) and because a program that has all of
//! its input cannot stand in a deadlock with us.
//!
//! Decisions: NPH scripts (§5) are refused, and so is a search string as
//! arguments (§4.4), which has made options of queries before. What a program
//! does wrong is our failure: 500, never a guess.

mod environment;
pub(super) mod framing;
pub(super) mod locate;
pub(super) mod output;
#[cfg(test)]
mod rules;

use std::ffi::OsString;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use super::notes::Notes;
use super::request::{Method, Request};
use super::site::{Content, Map, RuleNumber};
use super::status::Status;
use crate::config;
use crate::protocol::{Peer, Program, ProgramLimits, RequestId, RunError, Subject};
use locate::Place;

/// Local redirects of one request (§6.2.2); a loop must end.
pub(super) const MOST_REDIRECTS: u8 = 5;

/// The settings as the state machine uses them.
#[derive(Debug)]
pub(super) struct Cgi {
    /// The directories, by the number of their root.
    roots: Vec<Vec<u8>>,
    /// Variables that are the same for all.
    constant: Vec<u8>,
    authorization: bool,
    limits: ProgramLimits,
    /// How long a program may take in all.
    timeout: Duration,
    /// How long it may write nothing.
    silence_timeout: Duration,
}

impl Cgi {
    /// `variable` looks up what the server's own environment has.
    pub(super) fn new(http: &config::Http, variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let settings = &http.cgi;
        let passed = settings
            .pass
            .iter()
            .filter_map(|name| Some((name.as_str(), variable(name)?)));
        let roots = http.roots().into_iter();
        Self {
            roots: roots
                .map(|(path, _)| path.as_os_str().as_bytes().to_vec())
                .collect(),
            constant: environment::constant(passed),
            authorization: settings.authorization,
            limits: ProgramLimits {
                children: settings.max_children,
                memory: settings.memory,
                processor_time: settings.processor_time,
                nice: settings.nice,
                start: settings.silence_timeout.min(settings.timeout),
                grace: settings.grace,
            },
            timeout: settings.timeout,
            silence_timeout: settings.silence_timeout,
        }
    }

    /// What may wait for programs in one worker, in octets, where one request
    /// may have `body`: as much as all that may run could have.
    pub(super) fn most_content(&self, body: u64) -> u64 {
        u64::from(self.limits.children).saturating_mul(body)
    }
}

/// What is known of a request that a program may answer.
#[derive(Debug)]
pub(super) struct Errand {
    pub(super) method: Method,
    /// Below the host, decoded and normalised …
    path: Vec<u8>,
    /// … and it ended with a slash.
    directory: bool,
    /// So much of the path is the candidate; 0 where there is none yet.
    end: usize,
    /// Below which root the candidate is, and how much of the path does not
    /// count there.
    root: usize,
    skip: usize,
    query: Vec<u8>,
    content_type: Option<Vec<u8>>,
    /// The request has content, be it of no length.
    has_content: bool,
    environment: Vec<u8>,
    /// So much of it holds for the request, whatever program it comes to.
    fixed: usize,
    /// The name of the host, as it was asked for.
    host: Vec<u8>,
    /// Where the program sent us.
    location: Vec<u8>,
    pub(super) redirects: u8,
    deadline: Option<Instant>,
}

impl Errand {
    /// The errand of a request whose head is `head`, of `client` behind `peer`.
    pub(super) fn new(
        request: &Request<'_>,
        head: &[u8],
        cgi: &Cgi,
        peer: &Peer,
        client: Option<IpAddr>,
        notes: &Notes,
    ) -> Box<Self> {
        let (environment, content_type) = environment::of_request(request, head, cgi, peer, client);
        Box::new(Self {
            method: request.method,
            path: notes.path().to_vec(),
            directory: notes.is_directory(),
            end: 0,
            root: 0,
            skip: 0,
            query: notes.query().to_vec(),
            content_type,
            has_content: request.framing != super::body::Framing::None,
            fixed: environment.len(),
            environment,
            host: environment::host_of(request).to_vec(),
            location: Vec::new(),
            redirects: 0,
            deadline: None,
        })
    }

    /// The request is known by this name; whoever is sent elsewhere keeps it.
    pub(super) fn set_name(&mut self, id: RequestId) {
        self.environment.truncate(self.fixed);
        environment::name(&mut self.environment, id);
        self.fixed = self.environment.len();
    }

    /// The candidate is this one.
    pub(super) fn settle(&mut self, map: &Map, place: Place) {
        if let Some((root, skip)) = locate::root_of(map, place.rule) {
            (self.root, self.skip) = (root, skip);
            self.end = place.end;
        }
    }

    /// A file that was found, an index for instance, is the candidate.
    pub(super) fn settle_on_file(&mut self, map: &Map, rule: RuleNumber, path: &[u8]) {
        self.path.clear();
        self.path.extend_from_slice(path);
        self.directory = false;
        let end = path.len();
        self.settle(map, Place { rule, end });
    }

    /// Where the candidate after this one is.
    pub(super) fn next(&self, map: &Map, rule: RuleNumber) -> Option<Place> {
        locate::next(map, map.rule(rule).host, &self.path, self.end)
    }

    /// Root number and path of the candidate.
    pub(super) fn candidate(&self) -> (usize, &[u8]) {
        let path = self.path.get(self.skip..self.end);
        (self.root, path.unwrap_or_default())
    }

    /// Whether a file may be sent for it, if one is found.
    pub(super) fn reads(&self) -> bool {
        matches!(self.method, Method::Get | Method::Head)
    }

    /// Refuses what is not supported, by its name; the text names the rule.
    pub(super) fn refused(&self) -> Option<&'static str> {
        let (_, path) = self.candidate();
        let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
        name.starts_with(b"nph-")
            .then_some("rfc3875-5 nph scripts are not supported")
    }

    /// Completes the environment for the candidate; `content` octets wait for
    /// it. `host` is any rule of the host, `user` who said a right password.
    pub(super) fn complete(
        &mut self,
        cgi: &Cgi,
        map: &Map,
        host: RuleNumber,
        user: Option<&[u8]>,
        content: u64,
        now: Instant,
    ) {
        let top = map.find(map.rule(host).host, b"", true);
        let document_root = match map.rule(top).content {
            Content::Files { root, .. } => cgi.roots.get(root),
            Content::Redirect(_) | Content::Respond(_) | Content::Report(_) => cgi.roots.first(),
        };
        let document_root = document_root.map_or(&b"/"[..], Vec::as_slice);
        environment::complete(self, cgi, document_root, user, content);
        self.deadline.get_or_insert(now + cgi.timeout);
    }

    /// The program as it is to be run, after [`Errand::complete`].
    pub(super) fn program(&self, cgi: &Cgi, subject: Option<Subject>) -> Program<'_> {
        let (root, path) = self.candidate();
        Program {
            root,
            path,
            environment: &self.environment,
            limits: cgi.limits,
            subject,
        }
    }

    /// When the program must have written something, or ended.
    pub(super) fn deadline(&self, cgi: &Cgi, now: Instant) -> Instant {
        let silence = now + cgi.silence_timeout;
        self.deadline.map_or(silence, |whole| whole.min(silence))
    }

    /// Notes where the program sends us.
    pub(super) fn set_location(&mut self, location: &[u8]) {
        self.location.clear();
        self.location.extend_from_slice(location);
    }

    /// The head of the request that follows from a local redirect (§6.2.2):
    /// the one a client would have sent for it, without content.
    pub(super) fn redirected_head(&self) -> Vec<u8> {
        let method: &[u8] = if self.method == Method::Head {
            b"HEAD "
        } else {
            b"GET "
        };
        let (to, host) = (&self.location[..], &self.host[..]);
        [method, to, b" HTTP/1.1\r\nHost: ", host, b"\r\n\r\n"].concat()
    }

    /// Takes over what the errand before this one knew of the client, and how
    /// often it was sent elsewhere.
    pub(super) fn follow(&mut self, before: &mut Self) {
        self.environment = std::mem::take(&mut before.environment);
        self.environment.truncate(before.fixed);
        self.fixed = before.fixed;
        self.redirects = before.redirects + 1;
        self.deadline = before.deadline;
    }
}

/// What the failure to start a program is to a client: an answer like any
/// other, or a failure that the log names.
pub(super) fn not_started(error: RunError) -> Result<Status, (Status, &'static str)> {
    match error {
        RunError::NotFound => Ok(Status::NotFound),
        RunError::Denied | RunError::Escapes => Ok(Status::Forbidden),
        RunError::Busy => Err((Status::Unavailable, "as many run as max_children grants")),
        RunError::Exhausted => Err((Status::Unavailable, "the system has no room for it")),
        RunError::Late => Err((Status::GatewayTimeout, "it was not started in time")),
        RunError::Failed => Err((Status::InternalError, "it could not be started")),
    }
}
