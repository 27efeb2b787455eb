//! From a request and its client to the rule that holds for it, and what to do.
//!
//! The order is the one in which a refusal may tell something: whether the
//! octets are a path at all, whose host it is, who may come in, who must say a
//! password (judged by the caller, for it takes time), and only then what is
//! there.

use std::net::IpAddr;

use super::cgi::locate::{self, Place};
use super::files::{self, Candidate, Plan};
use super::notes::Notes;
use super::report::{self, Report};
use super::request::{Method, Request};
use super::site::{Content, Map, Rule, RuleNumber};
use super::status::{Refusal, Status};
use super::target::{self, Target};
use crate::protocol::View;

/// What a request leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    /// The rule.
    pub(super) rule: RuleNumber,
    /// What to do.
    pub(super) plan: Plan,
    /// A password comes first.
    pub(super) locked: bool,
    /// Which part of the path may be a program …
    pub(super) program: Option<Place>,
    /// … and whether it may come to one in another way, by an index or a
    /// fallback.
    pub(super) may_run: bool,
}

/// Decides about a request of `client` (`None`: one on a unix socket) and notes
/// the path, if it has one. `trusted`: it comes from a gateway that is believed.
pub(super) fn route(
    request: &Request<'_>,
    client: Option<IpAddr>,
    trusted: bool,
    map: &Map,
    notes: &mut Notes,
) -> Result<Route, Refusal> {
    let certain = |status| Route {
        rule: Map::BARE,
        plan: Plan::Answer(status),
        locked: false,
        program: None,
        may_run: false,
    };
    let (path, query, authority, secured) = match request.target {
        // RFC 9112 §3.2.2: the authority of the target counts, not Host.
        Target::Path {
            path,
            query,
            authority,
            secured,
        } => (path, query, authority.or(request.host), secured),
        Target::Authority => return Ok(certain(Status::MethodNotAllowed)),
        Target::Server => return Ok(certain(Status::NoContent)),
    };
    let resolved = notes.set_path(|out| target::resolve(path, out))?;
    notes.set_directory(resolved.directory);
    // RFC 9110 §7.4: nobody here speaks TLS, but a gateway may have.
    if secured && !trusted {
        return Ok(certain(Status::Misdirected));
    }
    if let Some(number) = map.report(notes.path(), resolved.directory) {
        let rule = map.rule(number);
        return Ok(Route {
            rule: number,
            plan: report(request.method, rule, client, query),
            ..certain(Status::Forbidden)
        });
    }
    let name = authority.map_or(&b""[..], |authority| authority.host);
    let Some(host) = map.host(name) else {
        return Ok(certain(Status::Misdirected));
    };
    let number = map.find(host, notes.path(), resolved.directory);
    let rule = map.rule(number);
    if !rule.access.permits(client) {
        return Ok(Route {
            rule: number,
            ..certain(Status::Forbidden)
        });
    }
    if (!resolved.hidden || rule.dotfiles)
        && let Some(route) = program(request.method, client, map, number, notes)
    {
        return Ok(route);
    }
    let may_run = map.has_programs(host) && (resolved.directory || rule.fallback.is_some());
    let is_file = matches!(rule.content, Content::Files { .. });
    let plan = if is_file && resolved.hidden && !rule.dotfiles {
        // As if it were not there: a name alone can be worth hiding.
        Plan::Answer(Status::NotFound)
    } else {
        match (request.method, &rule.content) {
            (Method::Get | Method::Head, _) if is_file && resolved.directory => {
                plan(rule, files::first(rule, notes))
            }
            (Method::Get | Method::Head, _) => plan(rule, Candidate::Exact),
            (Method::Options, _) => Plan::Answer(Status::NoContent),
            // The index may be a program, which takes what a file does not.
            (
                Method::Post | Method::Put | Method::Delete | Method::Patch,
                Content::Files { .. },
            ) if may_run && resolved.directory => plan(rule, files::first(rule, notes)),
            (
                Method::Post | Method::Put | Method::Delete | Method::Patch,
                Content::Redirect(redirect),
            ) => Plan::Answer(redirect.status),
            (
                Method::Post | Method::Put | Method::Delete | Method::Patch,
                Content::Files { .. } | Content::Respond(_) | Content::Report(_),
            )
            | (Method::Connect | Method::Trace, _) => Plan::Answer(Status::MethodNotAllowed),
        }
    };
    Ok(Route {
        rule: number,
        plan,
        locked: rule.auth.is_some(),
        program: None,
        may_run,
    })
}

/// What is done where the server says how it is.
fn report(method: Method, rule: &Rule, client: Option<IpAddr>, query: Option<&[u8]>) -> Plan {
    if !rule.access.permits(client) {
        return Plan::Answer(Status::Forbidden);
    }
    match (method, &rule.content) {
        (Method::Get | Method::Head, Content::Report(Report::Page)) => {
            Plan::Report(report::view(query))
        }
        (Method::Get | Method::Head, _) => plan(rule, Candidate::Exact),
        (
            Method::Options
            | Method::Post
            | Method::Put
            | Method::Delete
            | Method::Patch
            | Method::Connect
            | Method::Trace,
            _,
        ) => Plan::Answer(Status::MethodNotAllowed),
    }
}

/// The route of a request whose path, or a part of it, may be a program. The
/// rule of that part holds, unless only that of the whole path has a password.
fn program(
    method: Method,
    client: Option<IpAddr>,
    map: &Map,
    whole: RuleNumber,
    notes: &Notes,
) -> Option<Route> {
    match method {
        Method::Get
        | Method::Head
        | Method::Options
        | Method::Post
        | Method::Put
        | Method::Delete
        | Method::Patch => {}
        Method::Connect | Method::Trace => return None,
    }
    let above = map.rule(whole);
    if !matches!(above.content, Content::Files { .. }) {
        return None;
    }
    let place = locate::next(map, above.host, notes.path(), 0)?;
    let rule = map.rule(place.rule);
    let plan = if rule.access.permits(client) {
        Plan::Program
    } else {
        Plan::Answer(Status::Forbidden)
    };
    let keeps_password = above.auth.is_some() && rule.auth.is_none();
    Some(Route {
        rule: if keeps_password { whole } else { place.rule },
        plan,
        locked: above.auth.is_some() || rule.auth.is_some(),
        program: Some(place),
        may_run: true,
    })
}

/// What GET does under a rule whose files are tried as `candidate`.
pub(super) fn plan(rule: &Rule, candidate: Candidate) -> Plan {
    match &rule.content {
        Content::Files { .. } => Plan::Open(candidate),
        Content::Redirect(redirect) => Plan::Answer(redirect.status),
        Content::Respond(_) => Plan::Respond,
        Content::Report(what) => match what {
            Report::Page => Plan::Report(View::Page { refresh: None }),
            Report::Metrics => Plan::Report(View::Metrics),
            Report::Health => Plan::Health,
            Report::Readiness => Plan::Readiness,
        },
    }
}
