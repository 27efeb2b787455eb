//! The tables of a web site: hosts by name, rules for paths, and what these
//! have in common.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::Symlinks;
use crate::config::cgi::decided;
use crate::config::command::Passed;
use crate::config::kind::{FileNames, FilePath, Flag, Optional, Text, Word};
use crate::config::network::{ClientList, Clients};
use crate::config::number::{Count, Size, Time};
use crate::config::site::{ErrorPage, Forwarded, Header, RESPOND_STATUSES};
use crate::config::table::{Shorthand, table};
use crate::config::web::{
    ByName, Destination, ErrorPages, Headers, HostNames, Line, Named, OrOff, StatusOf, UrlPath,
};

table! {
    /// `[pool.NAME.http.host."HOST"]`.
    HostTable in "[pool.NAME.http.host.\"HOST\"]" {
        names: Vec<String> = HostNames, Vec::new(),
            "Further names; \"*.example.org\" is every name below example.org.";
        root: Option<PathBuf> = Optional(FilePath, INHERITED), None,
            "The directory that is served.";
        index: Option<Vec<String>> = Optional(FileNames, INHERITED), None,
            "Files that stand for their directory, tried in this order.";
        dotfiles: Option<bool> = Optional(Flag, INHERITED), None,
            "Whether names that begin with a dot are served.";
        symlinks: Option<Symlinks> = Optional(Word(SYMLINKS), INHERITED), None,
            "Whether symbolic links may lead anywhere.";
        listing: Option<bool> = Optional(Flag, INHERITED), None,
            "Whether a directory without an index file is listed.";
        fallback: Option<Option<String>> = Optional(OrOff(UrlPath), INHERITED), None,
            "A file that is sent to browsers instead of 404.";
        error_pages: Vec<ErrorPage> = ErrorPages, Vec::new(),
            "Files for these statuses, beside those that hold already.";
        headers: Vec<Header> = Headers, Vec::new(),
            "Fields of every answer, beside those that hold already; \"\" takes one back.";
        allow: Option<Clients> = Optional(ClientList, INHERITED), None,
            "Clients that may come in; said together with `deny`, in place of both.";
        deny: Option<Clients> = Optional(ClientList, INHERITED), None,
            "Clients that get 403.";
        auth: Option<Option<AuthTable>> = Optional(OrOff(Shorthand(AUTH)), INHERITED), None,
            "Who must say a password.";
        max_body: Option<u64> = Optional(BODY, INHERITED), None,
            "The longest body of a request.";
        path: Vec<Named<PathTable>> = ByName, Vec::new(),
            "Rules for paths of this host.";
    }
}

table! {
    /// `[pool.NAME.http.path."PATH"]`.
    PathTable in "[pool.NAME.http.path.\"PATH\"]" {
        alias: Option<PathBuf> = Optional(FilePath, "the files of the host"), None,
            "Another directory, for a path that ends with a slash.";
        redirect: Option<String> = Optional(Destination, "none"), None,
            "Where clients are sent: a path, or a URI; the rest of the path is appended to it.";
        redirect_status: Option<u16> = Optional(StatusOf(REDIRECT_STATUSES), "301"), None,
            "The status of the redirect.";
        respond: Option<RespondTable> = Optional(Shorthand(RESPOND), "none"), None,
            "A fixed answer.";
        cgi: Option<bool> = Optional(Flag, INHERITED), None,
            "Whether files are programs: they are run, not sent (CGI/1.1, RFC 3875).";
        index: Option<Vec<String>> = Optional(FileNames, INHERITED), None,
            "Files that stand for their directory, tried in this order.";
        dotfiles: Option<bool> = Optional(Flag, INHERITED), None,
            "Whether names that begin with a dot are served.";
        symlinks: Option<Symlinks> = Optional(Word(SYMLINKS), INHERITED), None,
            "Whether symbolic links may lead anywhere.";
        listing: Option<bool> = Optional(Flag, INHERITED), None,
            "Whether a directory without an index file is listed.";
        fallback: Option<Option<String>> = Optional(OrOff(UrlPath), INHERITED), None,
            "A file that is sent to browsers instead of 404.";
        error_pages: Vec<ErrorPage> = ErrorPages, Vec::new(),
            "Files for these statuses, beside those that hold already.";
        headers: Vec<Header> = Headers, Vec::new(),
            "Fields of every answer, beside those that hold already; \"\" takes one back.";
        allow: Option<Clients> = Optional(ClientList, INHERITED), None,
            "Clients that may come in; said together with `deny`, in place of both.";
        deny: Option<Clients> = Optional(ClientList, INHERITED), None,
            "Clients that get 403.";
        auth: Option<Option<AuthTable>> = Optional(OrOff(Shorthand(AUTH)), INHERITED), None,
            "Who must say a password.";
        max_body: Option<u64> = Optional(BODY, INHERITED), None,
            "The longest body of a request.";
    }
}

table! {
    /// `auth`, wherever it stands.
    AuthTable in "[pool.NAME.http] auth" {
        file: Option<PathBuf> = Optional(FilePath, "required"), None,
            "The password file (htpasswd -B), read by the master at each start and reload.";
        realm: String = Line("a text"), "restricted".to_owned(),
            "What clients are told that the password is for.";
    }
}

table! {
    /// `[pool.NAME.http.path."PATH"] respond`.
    RespondTable in "[pool.NAME.http.path.\"PATH\"] respond" {
        body: Option<String> = Optional(
                Text { max: 65536, what: "a text" }, "nothing"), None,
            "The content.";
        status: u16 = StatusOf(RESPOND_STATUSES), 200,
            "The status.";
        content_type: String = Line("a media type"), "text/plain; charset=utf-8".to_owned(),
            "The media type.";
    }
}

table! {
    /// `[pool.NAME.http.cgi]`.
    CgiTable in "[pool.NAME.http.cgi]" {
        timeout: Duration = TIMEOUT, Duration::from_secs(300),
            "How long a program may take in all; then it gets SIGTERM, and its client 504.";
        silence_timeout: Duration = TIMEOUT, Duration::from_secs(60),
            "How long a program may write nothing.";
        grace: Duration = TIMEOUT, Duration::from_secs(2),
            "How long it has to end after SIGTERM, or after its output has ended, until SIGKILL.";
        max_children: u32 = Count { min: 1, max: 65536 }, 32,
            "Programs at once in one worker; what is over gets 503.";
        memory: Option<u64> = Optional(Size { min: 1 << 20, max: 1 << 50 }, "that of the server"), None,
            "Address space of each program (RLIMIT_AS).";
        processor_time: Option<Duration> = Optional(
                Time { min: Duration::from_secs(1), max: DAY }, "that of the server"), None,
            "Processor time of each program, in whole seconds (RLIMIT_CPU).";
        nice: u8 = Count { min: 0, max: 19 }, 0,
            "What is added to the nice value of each program.";
        pass: Vec<String> = Passed(decided), vec!["PATH".to_owned(), "TZ".to_owned()],
            "Variables of the server's own environment that programs get.";
        authorization: bool = Flag, false,
            "Whether programs see the field Authorization.";
    }
}

table! {
    /// `[pool.NAME.http.status]`.
    StatusTable in "[pool.NAME.http.status]" {
        path: Option<String> = OrOff(UrlPath), at("/server-status"),
            "The page: HTML, for agents with ?auto or ?json; ?refresh=N loads it again every N seconds.";
        metrics: Option<String> = OrOff(UrlPath), at("/metrics"),
            "The same as metrics, for Prometheus.";
        health: Option<String> = OrOff(UrlPath), at("/healthz"),
            "200 as long as the server answers; not in the access log.";
        readiness: Option<String> = OrOff(UrlPath), at("/readyz"),
            "200 as long as new clients are welcome, else 503; not in the access log.";
        allow: Clients = ClientList, Clients::local(),
            "Clients that may see the page and the metrics; everybody may ask for health and readiness.";
        deny: Clients = ClientList, Clients::default(),
            "Clients that get 403 for these two.";
    }
}

fn at(path: &str) -> Option<String> {
    Some(path.to_owned())
}

const DAY: Duration = Duration::from_secs(24 * 3600);
const TIMEOUT: Time = Time {
    min: Duration::from_millis(1),
    max: DAY,
};
const INHERITED: &str = "what holds around it";
pub(super) const AUTH: &str = "a password file, or a table { file = …, realm = … }";
const RESPOND: &str = "a text, or a table { body = …, status = …, content_type = … }";
const BODY: Size<u64> = Size {
    min: 0,
    max: 1 << 40,
};
const REDIRECT_STATUSES: &[u16] = &[301, 302, 303, 307, 308];

pub(super) const SYMLINKS: &[(&str, Symlinks)] =
    &[("beneath", Symlinks::Beneath), ("never", Symlinks::Never)];

pub(super) const FORWARDED: &[(&str, Forwarded)] = &[
    ("x-forwarded-for", Forwarded::XForwardedFor),
    ("forwarded", Forwarded::Forwarded),
    ("x-real-ip", Forwarded::XRealIp),
];
