//! Hosts and paths, each rule broken once.

use super::super::tests::{HTTP, load, same, wrong};
use crate::config::{Http, Service, Symlinks};
use std::path::Path;

/// A site with these tables below `[pool.p.http]`, whose first key is in line 6.
fn site(keys: &str) -> Http {
    let text = format!("[pool.p]\n{HTTP}root='/srv/www'\n{keys}");
    match load(&text).unwrap().config.pools.remove(0).service {
        Service::Http(http) => http,
        other => panic!("{other:?}"),
    }
}

#[test]
fn mistakes_are_shown_where_they_are() {
    for (keys, expected) in [
        (
            "host.'a b'={}",
            "6:6: error: a host cannot be called \"a b\"; expected a name",
        ),
        (
            "host.'a:80'={}",
            "6:6: error: a host cannot be called \"a:80\"; did you mean \"a\"?",
        ),
        (
            "host.a={names='b/'}",
            "6:15: error: a host cannot be called \"b/\"",
        ),
        (
            "host.a={names='A.'}",
            "6:15: error: the name \"a\" is taken twice",
        ),
        (
            "host.a={}\nhost.'A.'={}",
            "7:6: error: the name \"a\" is taken twice",
        ),
        ("host.a={root='/none'}", "6:14: error: the root /none: "),
        (
            "host.a=1",
            "6:8: error: `a` is an integer; expected tables [pool.NAME.http.host",
        ),
        (
            "status={metrics='/server-status'}",
            "6:17: error: the path \"/server-status\" stands there twice",
        ),
        (
            "status={health='/h'}\npath.'/h'={}",
            "7:6: error: the rule for \"/h\" has no effect",
        ),
        (
            "status={}\nhost.a.path.'/metrics'={}",
            "7:13: error: the rule for \"/metrics\" has no effect",
        ),
        (
            "status={health='h'}",
            "6:16: error: `health` cannot be \"h\"; did you mean",
        ),
        (
            "path.x={}",
            "6:6: error: \"x\" is no path; did you mean \"/x\"?",
        ),
        (
            "path.'/x'={frob=1}",
            "6:12: error: unknown key `frob` in `path.\"/x\"`",
        ),
        (
            "path.'/x/'={}\npath.'/x/*'={}",
            "7:6: error: the path \"/x/*\" stands there twice",
        ),
        (
            "path.'/x'={alias='/srv'}",
            "6:12: error: `alias` has no effect here; only for a path that ends",
        ),
        (
            "path.'*.x'={redirect='/y'}",
            "6:13: error: `redirect` has no effect here; only for a path that begins",
        ),
        (
            "path.'/x/'={alias='/none'}",
            "6:19: error: the alias /none: ",
        ),
        (
            "path.'/x/'={alias='/srv',redirect='/y'}",
            "6:26: error: `alias` and `redirect` exclude each other",
        ),
        (
            "path.'/x'={redirect='/y',respond='z'}",
            "6:26: error: `redirect` and `respond` exclude each other",
        ),
        (
            "path.'/x'={redirect='/x?y'}",
            "6:21: error: this path is redirected to itself",
        ),
        (
            "path.'/x/'={redirect='/x/y/'}",
            "6:22: error: this path is redirected to itself",
        ),
        (
            "path.'/x'={redirect='//y'}",
            "6:21: error: `redirect` cannot be \"//y\"; two slashes",
        ),
        (
            "path.'/x'={redirect='/y',redirect_status=200}",
            "6:42: error: `redirect_status` cannot be 200; expected one of 301",
        ),
        (
            "path.'/x'={redirect_status=302}",
            "6:12: error: `redirect_status` has no effect here; only with `redirect`",
        ),
        (
            "path.'/x'={respond={status=204}}",
            "6:28: error: `status` cannot be 204",
        ),
        (
            "path.'/x'={respond={body='y',content_type=\"a\\nb\"}}",
            "6:43: error: `content_type` cannot be",
        ),
        (
            "headers={Date='x'}",
            "6:10: error: the field \"Date\" cannot be set; it is worked out",
        ),
        (
            "allow='10.0.0.1/8'",
            "6:7: error: \"10.0.0.1/8\" is no address prefix; did you mean \"10.0.0.0/8\"?",
        ),
        (
            "symlinks='nevr'",
            "6:10: error: `symlinks` cannot be \"nevr\"; did you mean \"never\"?",
        ),
        ("auth={realm='x'}", "6:6: error: `file` is missing"),
        (
            "auth='none'",
            "6:6: error: read /etc/none: entity not found",
        ),
        (
            "auth='latin1'",
            "6:6: error: read /etc/latin1: this is not UTF-8",
        ),
        (
            "path.'/x/'={auth='broken'}",
            "6:18: error: /etc/broken:1: not a line of a password file; expected a hash of bcrypt",
        ),
        (
            "redirect='/x'",
            "6:1: error: unknown key `redirect` in `http`; `redirect` belongs to [pool.NAME.http.path.",
        ),
    ] {
        let text = format!("{HTTP}root='/srv/www'\n{keys}");
        same(keys, &wrong(&text), &[expected]);
    }
    let many: String = (0..257).map(|at| format!("path.'/{at}'={{}}\n")).collect();
    let found = wrong(&format!("{HTTP}root='/srv/www'\n{many}"));
    same(
        "many",
        &found,
        &["262:6: error: there are 257 paths; expected at most 256"],
    );
}

#[test]
fn an_empty_password_file_is_worth_a_warning() {
    let text = format!("[pool.p]\n{HTTP}root='/srv/www'\nauth='nobody'");
    let warnings = load(&text).unwrap().warnings;
    assert_eq!(warnings.len(), 1);
}

#[test]
fn what_is_said_arrives() {
    let http = site(
        "auth={file='htpasswd',realm='r'}\ndeny='10.0.0.0/8'\n\
         [pool.p.http.path.'/x/']\nallow=[]\nauth='off'\nfallback='off'\n\
         [pool.p.http.host.A.path.'/y/']\nalias='/srv'",
    );
    let auth = http.auth.unwrap();
    assert_eq!(
        (auth.realm.as_str(), auth.file.as_path()),
        ("r", Path::new("/etc/htpasswd"))
    );
    assert!(auth.users.hash_of(b"ada").is_some());
    let scope = &http.paths[0].scope;
    assert_eq!(
        (scope.auth.as_ref(), scope.fallback.as_ref()),
        (Some(&None), Some(&None))
    );
    assert!(
        scope
            .access
            .as_ref()
            .unwrap()
            .permits(Some([10, 0, 0, 1].into()))
    );
    assert!(!http.access.permits(Some([10, 0, 0, 1].into())));
    assert_eq!(
        (http.hosts[0].name.as_str(), http.hosts[0].paths.len()),
        ("a", 1)
    );
}

#[test]
fn roots_are_numbered_once() {
    let beneath = |path: &str| (path.into(), Symlinks::Beneath);
    let http = site("path.'/a/'={alias='/srv'}\nhost.x={root='/srv'}\nhost.y={root='/srv/www'}");
    assert_eq!(http.roots(), [beneath("/srv/www"), beneath("/srv")]);
    let http = site("path.'/a/'={symlinks='never'}");
    let never = ("/srv/www".into(), Symlinks::Never);
    assert_eq!(http.roots(), [beneath("/srv/www"), never]);
}

#[test]
fn the_status_is_nowhere_unless_there_is_a_table() {
    assert!(site("").status.is_none());
    let status = site("status={}").status.unwrap();
    assert_eq!(status.page.as_deref(), Some("/server-status"));
    assert_eq!(status.metrics.as_deref(), Some("/metrics"));
    assert_eq!(status.health.as_deref(), Some("/healthz"));
    assert_eq!(status.readiness.as_deref(), Some("/readyz"));
    let permits = |address: &str| status.access.permits(Some(address.parse().unwrap()));
    assert!(permits("127.0.0.1") && permits("127.1.2.3") && permits("::1"));
    assert!(!permits("192.0.2.1") && !permits("2001:db8::1") && status.access.permits(None));
    let status = site("status={metrics='off',health='/h',allow='10.0.0.0/8'}").status;
    let status = status.unwrap();
    assert_eq!(
        (status.metrics, status.health.as_deref()),
        (None, Some("/h"))
    );
    assert!(
        !status.access.permits(None),
        "another list takes the place of the usual one"
    );
}
