//! The table of the service http, and that of its access log.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::kind::{Charset, FileNames, FilePath, Flag, Optional, Tag, Word};
use crate::config::network::{ClientList, Clients};
use crate::config::number::{Count, Size};
use crate::config::place::{Target, TargetKind};
use crate::config::site::{ErrorPage, Forwarded, Header};
use crate::config::table::{Shorthand, SubTable, table};
use crate::config::web::{ByName, ErrorPages, Headers, Named, OrOff, UrlPath};
use crate::config::{Facility, LineFormat, Symlinks};

use super::logs::FACILITIES;
use super::site::{
    AUTH, AuthTable, CgiTable, FORWARDED, HostTable, PathTable, SYMLINKS, StatusTable,
};
use super::{ANY, TIMEOUT};

const ACCESS_LOG: &str = "\"off\", \"stderr\", \"syslog\", a path, or a table { to = … }";

table! {
    /// `[pool.NAME.http]`.
    HttpTable in "[pool.NAME.http]" {
        root: Option<PathBuf> = Optional(FilePath, "required"), None,
            "The directory that is served.";
        index: Vec<String> = FileNames, vec!["index.html".to_owned()],
            "Files that stand for their directory, tried in this order.";
        access_log: AccessLogTable = Shorthand(ACCESS_LOG), AccessLogTable::default(),
            "Where a line for each request goes.";
        request_id: bool = Flag, false,
            "Whether answers say in X-Request-ID under which name the logs know the request.";
        dotfiles: bool = Flag, false,
            "Whether names that begin with a dot are served; /.well-known/ always is.";
        mime_types: Option<PathBuf> = Optional(FilePath, "the built-in table alone"), None,
            "A file of media types and their extensions, such as /etc/mime.types; it outweighs the built-in table.";
        charset: Option<String> = Charset, Some("utf-8".to_owned()),
            "The charset that text is said to have; \"off\" says nothing.";
        precompressed: bool = Flag, true,
            "Whether FILE.zst, FILE.br or FILE.gz is sent in place of FILE to clients that accept the coding.";
        gzip: bool = Flag, false,
            "Whether compressible files up to 1 MiB without such a sibling are compressed as they are sent.";
        gzip_min_size: u64 = Size { min: 0, max: 1 << 20 }, 1 << 10,
            "The smallest file that is compressed as it is sent.";
        gzip_cache: usize = Size { min: 0, max: 1 << 30 }, 8 << 20,
            "How much compressed content each worker keeps for the next client.";
        file_cache: usize = Count { min: 0, max: 65536 }, 64,
            "How many files up to 1 MiB each worker keeps open for the next client, and of those up to 16 KiB the content; 0 keeps none.";
        header_timeout: Duration = TIMEOUT, Duration::from_secs(10),
            "How long the head of a request may take, from first octet to last.";
        body_timeout: Duration = TIMEOUT, Duration::from_secs(20),
            "How long the body of a request may go without a new octet.";
        body_min_rate: u64 = Size { min: 0, max: 1 << 30 }, 500,
            "How much of a body must come in a second, on the average over each `body_timeout`; 0 is any.";
        keepalive_timeout: Duration = TIMEOUT, Duration::from_secs(5),
            "How long an idle connection is kept for another request.";
        keepalive_requests: u64 = ANY, 1000,
            "Requests after which a connection is closed; 0 is never.";
        max_target: usize = Size { min: 64, max: MOST_HEADER }, 8 << 10,
            "The longest request target; a longer one gets 414.";
        max_header: usize = Size { min: 512, max: MOST_HEADER }, 32 << 10,
            "The longest request head, request line included; a longer one gets 431.";
        max_fields: usize = Count { min: 1, max: 256 }, 100,
            "The most header fields of a request; more get 431.";
        max_body: u64 = Size { min: 0, max: 1 << 40 }, 1 << 20,
            "The longest body of a request; a longer one gets 413.";
        symlinks: Symlinks = Word(SYMLINKS), Symlinks::Beneath,
            "Whether symbolic links may lead to anything beneath the root, or never anywhere.";
        listing: bool = Flag, false,
            "Whether a directory without an index file is listed, in HTML or JSON.";
        fallback: Option<String> = OrOff(UrlPath), None,
            "A file that is sent to browsers instead of 404, for paths without an extension.";
        error_pages: Vec<ErrorPage> = ErrorPages, Vec::new(),
            "Files that are sent with these statuses instead of the built-in pages.";
        headers: Vec<Header> = Headers, Vec::new(),
            "Fields of every answer; those about caches only where all went well.";
        allow: Clients = ClientList, Clients::default(),
            "Clients that may come in: address prefixes, or \"unix:\"; the longest prefix decides.";
        deny: Clients = ClientList, Clients::default(),
            "Clients that get 403.";
        auth: Option<AuthTable> = OrOff(Shorthand(AUTH)), None,
            "Who must say a password (Basic, RFC 7617).";
        trusted_proxies: Clients = ClientList, Clients::default(),
            "Proxies that are believed about who the client is.";
        forwarded: Forwarded = Word(FORWARDED), Forwarded::XForwardedFor,
            "The field in which they say it, read from right to left.";
        strict_hosts: bool = Flag, false,
            "Whether a request for a host without a table gets 421 instead of the default host.";
        status: Option<StatusTable> = Optional(SubTable, "nothing is said of the server"), None,
            "Where the server says how it is; a table without a key will do.";
        cgi: CgiTable = SubTable, CgiTable::default(),
            "What programs may do, where `cgi` says for a path that there are some.";
        path: Vec<Named<PathTable>> = ByName, Vec::new(),
            "Rules for paths, of every host.";
        host: Vec<Named<HostTable>> = ByName, Vec::new(),
            "Hosts by their names.";
    }
}

/// No request head is longer than this, in octets.
const MOST_HEADER: usize = 64 << 10;

table! {
    /// `[pool.NAME.http] access_log`.
    AccessLogTable in "[pool.NAME.http] access_log" {
        to: Target = TargetKind, Target::Off,
            "The destination.";
        format: LineFormat = Word(FORMATS), LineFormat::Combined,
            "The form of a line.";
        facility: Option<Facility> = Optional(Word(FACILITIES), "\"daemon\"; only for syslog"), None,
            "The syslog facility, see syslog(3).";
        tag: Option<String> = Optional(Tag, "\"preforkd\"; only for syslog"), None,
            "The program's name in syslog lines.";
    }
}

const FORMATS: &[(&str, LineFormat)] = &[
    ("combined", LineFormat::Combined),
    ("json", LineFormat::Json),
];
