//! The variables of a program (RFC 3875 §4.1), as `NAME=value` with NUL behind
//! each.
//!
//! What a client sends is in values alone, and a head has no NUL; names come
//! from fields only if they are of letters, digits and hyphens. So a field
//! with an underscore cannot pass for another one (RFC 9110 §17.10), and none
//! can become a variable that means something to an interpreter. `Proxy` is
//! left out: HTTP_PROXY is read by clients that a program may use. HTTPS is
//! never set. A value is passed as it came, octet for octet.

use std::ffi::OsString;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStrExt;

use super::{Cgi, Errand};
use crate::protocol::http::host::Authority;
use crate::protocol::http::request::{Method, Request, Version};
use crate::protocol::http::target::Target;
use crate::protocol::{Peer, RequestId};

/// Fields that do not become HTTP_… (§4.1.18): those that have a variable of
/// their own, those between client and server alone, and the one that must
/// not (rule 117). In lower case.
const KEPT_BACK: &[&[u8]] = &[
    b"connection",
    b"content-length",
    b"content-type",
    b"expect",
    b"keep-alive",
    b"proxy",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
];

/// Passed on if the administrator says so.
const SECRETS: &[&[u8]] = &[b"authorization", b"proxy-authorization"];

/// The variables that no request changes. `passed` are the server's own: they
/// come last of all, and who looks for a name takes the first.
pub(super) fn constant<'p>(passed: impl Iterator<Item = (&'p str, OsString)>) -> Vec<u8> {
    let mut block = Vec::new();
    set(&mut block, "GATEWAY_INTERFACE", &[b"CGI/1.1"]);
    set(&mut block, "SERVER_SOFTWARE", &[b"preforkd"]);
    // Not of RFC 3875: php-cgi runs only if it sees who started it.
    set(&mut block, "REDIRECT_STATUS", &[b"200"]);
    for (name, value) in passed {
        set(&mut block, name, &[value.as_bytes()]);
    }
    block
}

/// The variables that a request decides, and the value of its Content-Type.
pub(super) fn of_request(
    request: &Request<'_>,
    head: &[u8],
    cgi: &Cgi,
    peer: &Peer,
    client: Option<IpAddr>,
) -> (Vec<u8>, Option<Vec<u8>>) {
    let mut block = Vec::with_capacity(head.len() + 1024);
    set(
        &mut block,
        "SERVER_PROTOCOL",
        &[match request.version {
            Version::Http10 => b"HTTP/1.0",
            Version::Http11 => b"HTTP/1.1",
        }],
    );
    let fields: Vec<(&[u8], &[u8])> = fields(head).collect();
    let uri = match request.target {
        Target::Path { .. } => origin_form(request.raw.1),
        Target::Authority | Target::Server => request.raw.1,
    };
    set(&mut block, "REQUEST_URI", &[uri]);
    set_ends(&mut block, host_of(request), peer, client);
    let named = match request.target {
        Target::Path { authority, .. } => authority,
        Target::Authority | Target::Server => None,
    };
    if let Some(authority) = named {
        set_host(&mut block, authority);
    }
    set_fields(&mut block, &fields, cgi.authorization, named.is_some());
    let content_type = fields
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(b"content-type"))
        .map(|(_, value)| value.to_vec());
    (block, content_type)
}

/// The name that the request is for; empty where it says none.
pub(super) fn host_of<'r>(request: &Request<'r>) -> &'r [u8] {
    let authority = request.authority();
    authority.map_or(&b""[..], |authority| authority.host)
}

/// Adds the name of the request, which the logs have too: not of RFC 3875, but
/// the variable that programs know from Apache.
pub(super) fn name(block: &mut Vec<u8>, id: RequestId) {
    set(block, "UNIQUE_ID", &[id.to_string().as_bytes()]);
}

/// Adds the variables of the one program.
pub(super) fn complete(
    errand: &mut Errand,
    cgi: &Cgi,
    document_root: &[u8],
    user: Option<&[u8]>,
    content: u64,
) {
    let mut block = std::mem::take(&mut errand.environment);
    block.truncate(errand.fixed);
    let (script, rest) = errand.path.split_at(errand.end.min(errand.path.len()));
    let (root, file) = errand.candidate();
    let directory = cgi.roots.get(root).map_or(document_root, Vec::as_slice);
    set(&mut block, "DOCUMENT_ROOT", &[document_root]);
    set(&mut block, "SCRIPT_NAME", &[b"/", script]);
    set(&mut block, "SCRIPT_FILENAME", &[directory, b"/", file]);
    let slash: &[u8] = if errand.directory { b"/" } else { b"" };
    if !(rest.is_empty() && slash.is_empty()) {
        set(&mut block, "PATH_INFO", &[rest, slash]);
        set(&mut block, "PATH_TRANSLATED", &[document_root, rest, slash]);
    }
    set(&mut block, "QUERY_STRING", &[&errand.query]);
    set(&mut block, "REQUEST_METHOD", &[name_of(errand.method)]);
    if let Some(user) = user.filter(|user| !user.contains(&0)) {
        set(&mut block, "AUTH_TYPE", &[b"Basic"]);
        set(&mut block, "REMOTE_USER", &[user]);
    }
    if errand.has_content {
        if let Some(media_type) = &errand.content_type {
            set(&mut block, "CONTENT_TYPE", &[media_type]);
        }
        let length = content.to_string();
        set(&mut block, "CONTENT_LENGTH", &[length.as_bytes()]);
    }
    block.extend_from_slice(&cgi.constant);
    errand.environment = block;
}

fn name_of(method: Method) -> &'static [u8] {
    match method {
        Method::Get => b"GET",
        Method::Head => b"HEAD",
        Method::Options => b"OPTIONS",
        Method::Post => b"POST",
        Method::Put => b"PUT",
        Method::Delete => b"DELETE",
        Method::Patch => b"PATCH",
        Method::Connect => b"CONNECT",
        Method::Trace => b"TRACE",
    }
}

fn set(block: &mut Vec<u8>, name: &str, value: &[&[u8]]) {
    block.extend_from_slice(name.as_bytes());
    block.push(b'=');
    for part in value {
        block.extend_from_slice(part);
    }
    block.push(0);
}

/// The two ends of the connection; a client behind a trusted proxy has no port
/// that we know. A peer on a unix socket has no address, and
/// REMOTE_ADDR must be one (§4.1.8): the one that nobody has, for whoever
/// trusts 127.0.0.1 must not trust it.
fn set_ends(block: &mut Vec<u8>, host: &[u8], peer: &Peer, client: Option<IpAddr>) {
    let local = peer.local.map(canonical);
    let remote = peer.remote.map(canonical);
    let mut text = Vec::new();
    let mut set_text = |block: &mut Vec<u8>, name: &str, value: &dyn std::fmt::Display| {
        text.clear();
        // Writing to a buffer in memory cannot fail.
        let _ = write!(text, "{value}");
        set(block, name, &[&text]);
    };
    match local {
        Some(local) => {
            set_text(block, "SERVER_ADDR", &local.ip());
            set_text(block, "SERVER_PORT", &local.port());
        }
        None => set_text(block, "SERVER_PORT", &80),
    }
    match (host, local) {
        (b"", Some(local)) if local.is_ipv6() => {
            set_text(block, "SERVER_NAME", &format_args!("[{}]", local.ip()));
        }
        (b"", Some(local)) => set_text(block, "SERVER_NAME", &local.ip()),
        (b"", None) => set(block, "SERVER_NAME", &[b"localhost"]),
        (host, _) => set(block, "SERVER_NAME", &[host]),
    }
    let client = client.map(|address| address.to_canonical());
    let address = client.unwrap_or(IpAddr::from([0, 0, 0, 0]));
    set_text(block, "REMOTE_ADDR", &address);
    set_text(block, "REMOTE_HOST", &address);
    if let Some(remote) = remote.filter(|remote| Some(remote.ip()) == client) {
        set_text(block, "REMOTE_PORT", &remote.port());
    }
}

/// An IPv4 client is one on an IPv6 socket, too.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// HTTP_HOST of a target that says its host itself: a program must not be told
/// of another one (RFC 9112 §3.2.2).
fn set_host(block: &mut Vec<u8>, Authority { host, port }: Authority<'_>) {
    match port {
        Some(port) => set(
            block,
            "HTTP_HOST",
            &[host, b":", port.to_string().as_bytes()],
        ),
        None => set(block, "HTTP_HOST", &[host]),
    }
}

/// HTTP_… for the fields; one that comes more than once is one variable
/// (§4.1.18), joined as its grammar wants it. `named`: but for Host.
fn set_fields(block: &mut Vec<u8>, fields: &[(&[u8], &[u8])], authorization: bool, named: bool) {
    for (at, (name, value)) in fields.iter().enumerate() {
        let is_same = |(other, _): &&(&[u8], &[u8])| other.eq_ignore_ascii_case(name);
        if !is_passed(name, authorization) || fields[..at].iter().any(|one| is_same(&one)) {
            continue;
        }
        if named && name.eq_ignore_ascii_case(b"host") {
            continue;
        }
        block.extend_from_slice(b"HTTP_");
        block.extend(name.iter().map(|byte| match byte {
            b'-' => b'_',
            byte => byte.to_ascii_uppercase(),
        }));
        block.push(b'=');
        block.extend_from_slice(value);
        let separator: &[u8] = if name.eq_ignore_ascii_case(b"cookie") {
            b"; "
        } else {
            b", "
        };
        for (_, value) in fields[at + 1..].iter().filter(is_same) {
            block.extend_from_slice(separator);
            block.extend_from_slice(value);
        }
        block.push(0);
    }
}

fn is_passed(name: &[u8], authorization: bool) -> bool {
    let is = |known: &&[u8]| name.eq_ignore_ascii_case(known);
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    name.iter().all(plain)
        && !KEPT_BACK.iter().any(is)
        && (authorization || !SECRETS.iter().any(is))
}

/// The field lines of a head that was read before: each has a colon.
fn fields(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let lines = head.split(|&byte| byte == b'\n').skip(1);
    lines.filter_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let colon = memchr::memchr(b':', line)?;
        // Only these two frame a value (rule 12).
        let value = trim(&line[colon + 1..]);
        Some((&line[..colon], value))
    })
}

/// Without SP and HTAB at either end.
pub(super) fn trim(value: &[u8]) -> &[u8] {
    let is_inside = |byte: &u8| !matches!(byte, b' ' | b'\t');
    let Some(start) = value.iter().position(is_inside) else {
        return b"";
    };
    let end = value.iter().rposition(is_inside).map_or(start, |at| at + 1);
    &value[start..end]
}

/// Path and query of a target in any form.
fn origin_form(raw: &[u8]) -> &[u8] {
    if raw.starts_with(b"/") {
        return raw;
    }
    let authority = memchr::memmem::find(raw, b"://").map_or(0, |at| at + 3);
    let rest = &raw[authority..];
    match rest.iter().position(|byte| matches!(byte, b'/' | b'?')) {
        Some(at) if rest[at] == b'/' => &rest[at..],
        Some(_) | None => b"/",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
