//! Hosts and paths as tables again.

use std::fmt;

use super::write_table;
use crate::config::file::http::HttpTable;
use crate::config::file::site::{
    AuthTable, CgiTable, HostTable, PathTable, RespondTable, StatusTable,
};
use crate::config::site::{Auth, Cgi, Content, Host, PathRule, StatusPages};
use crate::config::table::Entry;
use crate::config::web::Named;
use crate::config::wording::quote;

/// Writes the tables below `[header]`.
pub(super) fn write(f: &mut fmt::Formatter<'_>, header: &str, http: &HttpTable) -> fmt::Result {
    if let Some(status) = &http.status.value {
        write_table(f, &format!("\n[{header}.status]"), status)?;
    }
    write_table(f, &format!("\n[{header}.cgi]"), &http.cgi.value)?;
    write_paths(f, header, &http.path.value)?;
    for host in &http.host.value {
        let header = format!("{header}.host.{}", quote(&host.name));
        write_table(f, &format!("\n[{header}]"), &host.table)?;
        write_paths(f, &header, &host.table.path.value)?;
    }
    Ok(())
}

fn write_paths(
    f: &mut fmt::Formatter<'_>,
    header: &str,
    paths: &[Named<PathTable>],
) -> fmt::Result {
    for path in paths {
        let header = format!("\n[{header}.path.{}]", quote(&path.name));
        write_table(f, &header, &path.table)?;
    }
    Ok(())
}

pub(super) fn hosts(hosts: &[Host]) -> Vec<Named<HostTable>> {
    hosts
        .iter()
        .map(|one| named(&one.name, host(one)))
        .collect()
}

pub(super) fn paths(paths: &[PathRule]) -> Vec<Named<PathTable>> {
    let table = |rule: &PathRule| named(&rule.pattern.to_string(), path(rule));
    paths.iter().map(table).collect()
}

pub(super) fn cgi(cgi: &Cgi) -> CgiTable {
    CgiTable {
        timeout: Entry::of(cgi.timeout),
        silence_timeout: Entry::of(cgi.silence_timeout),
        grace: Entry::of(cgi.grace),
        max_children: Entry::of(cgi.max_children),
        memory: Entry::of(cgi.memory),
        processor_time: Entry::of(cgi.processor_time),
        nice: Entry::of(cgi.nice),
        pass: Entry::of(cgi.pass.clone()),
        authorization: Entry::of(cgi.authorization),
    }
}

pub(super) fn status(status: &StatusPages) -> StatusTable {
    StatusTable {
        path: Entry::of(status.page.clone()),
        metrics: Entry::of(status.metrics.clone()),
        health: Entry::of(status.health.clone()),
        readiness: Entry::of(status.readiness.clone()),
        allow: Entry::of(status.access.allow.clone()),
        deny: Entry::of(status.access.deny.clone()),
    }
}

pub(super) fn auth(auth: &Auth) -> AuthTable {
    AuthTable {
        file: Entry::of(Some(auth.file.clone())),
        realm: Entry::of(auth.realm.clone()),
    }
}

fn named<T>(name: &str, table: T) -> Named<T> {
    Named {
        name: name.to_owned(),
        span: 0..0,
        table,
    }
}

fn host(host: &Host) -> HostTable {
    let scope = &host.scope;
    let access = scope.access.as_ref();
    HostTable {
        names: Entry::of(host.names.clone()),
        root: Entry::of(host.root.clone()),
        index: Entry::of(scope.index.clone()),
        dotfiles: Entry::of(scope.dotfiles),
        symlinks: Entry::of(scope.symlinks),
        listing: Entry::of(scope.listing),
        fallback: Entry::of(scope.fallback.clone()),
        error_pages: Entry::of(scope.error_pages.clone()),
        headers: Entry::of(scope.headers.clone()),
        allow: Entry::of(access.map(|access| access.allow.clone())),
        deny: Entry::of(access.map(|access| access.deny.clone())),
        auth: Entry::of(scope.auth.as_ref().map(|one| one.as_ref().map(auth))),
        max_body: Entry::of(scope.max_body),
        path: Entry::of(paths(&host.paths)),
    }
}

fn path(rule: &PathRule) -> PathTable {
    let scope = &rule.scope;
    let access = scope.access.as_ref();
    let (alias, redirect, respond) = match &rule.content {
        None => (None, None, None),
        Some(Content::Alias(directory)) => (Some(directory.clone()), None, None),
        Some(Content::Redirect(redirect)) => (None, Some(redirect), None),
        Some(Content::Respond(respond)) => (None, None, Some(respond)),
    };
    PathTable {
        alias: Entry::of(alias),
        redirect: Entry::of(redirect.map(|redirect| redirect.to.clone())),
        redirect_status: Entry::of(redirect.map(|redirect| redirect.status)),
        respond: Entry::of(respond.map(|respond| RespondTable {
            body: Entry::of((!respond.body.is_empty()).then(|| respond.body.clone())),
            status: Entry::of(respond.status),
            content_type: Entry::of(respond.content_type.clone()),
        })),
        index: Entry::of(scope.index.clone()),
        dotfiles: Entry::of(scope.dotfiles),
        symlinks: Entry::of(scope.symlinks),
        listing: Entry::of(scope.listing),
        fallback: Entry::of(scope.fallback.clone()),
        error_pages: Entry::of(scope.error_pages.clone()),
        headers: Entry::of(scope.headers.clone()),
        allow: Entry::of(access.map(|access| access.allow.clone())),
        deny: Entry::of(access.map(|access| access.deny.clone())),
        auth: Entry::of(scope.auth.as_ref().map(|one| one.as_ref().map(auth))),
        max_body: Entry::of(scope.max_body),
        cgi: Entry::of(rule.cgi),
    }
}
