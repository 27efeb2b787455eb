//! Each rule, broken once, with the place the message points at.

use std::time::Duration;

use super::*;
use crate::config::system::Pretend;
use crate::config::{Accept, Full, Identity, Loaded, LogFormat, Refusal, parse};

fn load_as(text: &str, system: &Pretend) -> Result<Loaded, Vec<String>> {
    parse(text, "f", Path::new("/etc"), system).map_err(|found| found.lines().collect())
}

pub(super) fn load(text: &str) -> Result<Loaded, Vec<String>> {
    load_as(text, &Pretend::default())
}

/// The one pool of a file that is right, its header left to this function.
fn pool(keys: &str) -> Pool {
    load(&format!("[pool.p]\n{keys}"))
        .unwrap()
        .config
        .pools
        .remove(0)
}

/// The mistakes of a pool; its header is line 1, `keys` begins in line 2.
pub(super) fn wrong(keys: &str) -> Vec<String> {
    load(&format!("[pool.p]\n{keys}")).unwrap_err()
}

const ECHO: &str = "service='echo'\nlisten='127.0.0.1:7'\n";
pub(super) const HTTP: &str = "service='http'\nlisten='127.0.0.1:80'\n[pool.p.http]\n";

#[test]
fn the_shortest_pool_gets_every_default() {
    let pool = pool(ECHO);
    let usual = Pool {
        listen: vec![address("127.0.0.1:7").into()],
        ..Pool::with_defaults("p", Service::Echo)
    };
    assert_eq!(pool, usual);
}

#[test]
fn limits_arrive_and_have_their_defaults() {
    assert_eq!(pool(ECHO).limits, None);
    let limits = |keys: &str| {
        pool(&format!("{ECHO}[pool.p.limits]\n{keys}"))
            .limits
            .unwrap()
    };
    let usual = limits("");
    assert_eq!((usual.full, usual.over), (Full::Wait, Refusal::Answer));
    assert_eq!((usual.ipv4_network, usual.ipv6_network), (24, 56));
    assert_eq!(usual.retry_after, Duration::from_secs(5));
    assert!(!usual.waits() && !usual.tells_sources_apart());
    let rate = limits("accept_rate='20/s'").accept_rate.unwrap();
    assert_eq!((rate.count, rate.burst), (20, 20));
    let rate = limits("accept_rate='20/s'\nburst=5").accept_rate.unwrap();
    assert_eq!((rate.count, rate.burst), (20, 5));
    assert!(limits("connections=1").waits());
    assert!(!limits("connections=1\ndry_run=true").waits());
    assert!(!limits("connections=1\nfull='reset'").waits());
    let pool = pool(&format!(
        "{ECHO}allow='10.0.0.0/8'\ndeny=['unix:']\ndenied='reset'"
    ));
    assert!(pool.access.deny.unix && pool.denied == Refusal::Reset);
    assert!(!pool.access.permits(Some("192.0.2.1".parse().unwrap())));
}

#[test]
fn limits_that_have_no_effect_are_mistakes() {
    let echo = format!("{ECHO}[pool.p.limits]\n");
    let http = "service='http'\nlisten='127.0.0.1:80'\nhttp.root='/srv'\n[pool.p.limits]\n";
    for (service, keys, message) in [
        (
            &*echo,
            "burst=5",
            "`burst` has no effect here; only beside `accept_rate`",
        ),
        (
            &*echo,
            "retry_after='1s'",
            "`retry_after` has no effect here; only with service",
        ),
        (
            &*echo,
            "over='reset'\nbanner='x'",
            "`banner` has no effect here; only with `over`",
        ),
        (
            http,
            "banner='x'",
            "`banner` has no effect here; the service http answers 503",
        ),
        (
            http,
            "over='close'\nretry_after='1s'",
            "`retry_after` has no effect here; only with `over`",
        ),
        (
            &*echo,
            "accept_rate='20'",
            "`accept_rate` cannot be \"20\"; expected a rate such as",
        ),
        (
            &*echo,
            "random_early_drop='9:1:8'",
            "`random_early_drop` cannot be \"9:1:8\"; expected START",
        ),
        (
            &*echo,
            "ipv6_network=65",
            "expected a whole number from 1 to 64",
        ),
        (&*echo, "over='wait'", "`over` cannot be \"wait\""),
    ] {
        let found = wrong(&format!("{service}{keys}"));
        assert!(
            found.len() == 1 && found[0].contains(message),
            "{keys}: {found:?}"
        );
    }
}

#[test]
fn an_empty_master_is_the_default_one() {
    let loaded = load(&format!("[master]\n[pool.p]\n{ECHO}")).unwrap();
    assert_eq!(loaded.config.master, Master::with_defaults());
    assert!(loaded.warnings.is_empty());
}

#[test]
fn values_arrive_where_they_belong() {
    let text = "\
        [master]\npid_file='/run/p.pid'\ncontrol_socket='c.sock'\nuser='www'\n\
        log={to='syslog',facility='local3',level='debug',tag='x'}\n\
        graceful_timeout='1m'\nmax_generations=2\nprocess_titles=false\nbreaker_exit_after='10m'\n\
        [pool.b]\nlisten=[{address='[::]:80',v6only=false},{address='unix:/run/s',mode='0600'}]\n\
        service='message'\nmessage=\"hi\\n\"\nmodel='threads'\nthreads_per_worker=3\n\
        workers='auto'\n\
        [pool.a]\nlisten='81'\nservice='http'\nmodel='event'\naccept='reuseport'\n\
        max_connections=5\ngroup='adm'\nhttp={root='/srv/www',access_log='x.log',max_header='1KiB'}";
    let config = load(text).unwrap().config;
    let master = config.master;
    assert_eq!(master.pid_file.unwrap(), Path::new("/run/p.pid"));
    assert_eq!(master.control_socket.unwrap(), Path::new("/etc/c.sock"));
    assert_eq!(master.log.level, log::LevelFilter::Debug);
    let tag = "x".to_owned();
    let facility = Facility(19);
    assert_eq!(master.log.to, LogTarget::Syslog { facility, tag });
    assert_eq!(master.graceful_timeout, Duration::from_secs(60));
    assert_eq!((master.max_generations, master.process_titles), (2, false));
    assert_eq!(master.breaker_exit_after, Duration::from_secs(600));

    let [b, a] = config.pools.try_into().unwrap();
    assert_eq!(
        (b.name.as_str(), a.name.as_str()),
        ("b", "a"),
        "in the file's order"
    );
    assert_eq!(b.service, Service::Message(b"hi\n".to_vec()));
    assert_eq!((b.threads_per_worker, b.size), (3, Size::Fixed(4)));
    let Listen::Tcp { v6only, .. } = b.listen[0].listen else {
        panic!("{:?}", b.listen);
    };
    assert!(!v6only);
    let path = PathBuf::from("/run/s");
    assert_eq!(b.listen[1].listen, Listen::Unix { path, mode: 0o600 });
    let who = Identity {
        user: "www".to_owned(),
        uid: 33,
        gid: 4,
        groups: vec![4, 44],
    };
    assert_eq!((a.identity.unwrap(), b.identity.unwrap().gid), (who, 33));
    assert_eq!((a.accept, a.max_connections), (Accept::Reuseport, 5));
    let Service::Http(http) = a.service else {
        panic!("{:?}", a.service);
    };
    assert_eq!(http.access_log, LogTarget::File("/etc/x.log".into()));
    assert_eq!((http.max_target, http.max_header), (1024, 1024));
}

#[test]
fn the_log_of_a_pool_takes_the_rest_from_the_master() {
    const SYSLOG: &str = "to='syslog',facility='local0',tag='x',level='warn',format='json'";
    let log_of = |master: &str, own: &str| {
        let text = format!("[master]\nlog={{{master}}}\n[pool.p]\nlog={own}\n{ECHO}");
        let mut pools = load(&text).unwrap().config.pools;
        pools.remove(0).log.unwrap()
    };
    let syslog = |facility, tag: &str| LogTarget::Syslog {
        facility: Facility(facility),
        tag: tag.to_owned(),
    };
    for (own, facility, tag) in [
        ("{level='warn'}", 16, "x"),
        ("{tag='y'}", 16, "y"),
        ("{facility='mail'}", 2, "x"),
        ("'syslog'", 16, "x"),
    ] {
        let log = log_of(SYSLOG, own);
        assert_eq!(log.to, syslog(facility, tag), "{own}");
        let rest = (log.level, log.format);
        assert_eq!(rest, (log::LevelFilter::Warn, LogFormat::Json));
    }
    assert_eq!(log_of("to='off'", "'syslog'").to, syslog(3, "preforkd"));
    let log = log_of(SYSLOG, "{to='./l',level='debug',format='text'}");
    assert_eq!(log.to, LogTarget::File("/etc/l".into()));
    let rest = (log.level, log.format);
    assert_eq!(rest, (log::LevelFilter::Debug, LogFormat::Text));
    for (keys, expected) in [
        ("log={tag='x'}", "2:6: error: `tag` has no effect here"),
        (
            "log={to='off',tag='x'}",
            "2:15: error: `tag` has no effect here",
        ),
        ("log='log/a'", "2:5: error: the directory /etc/log: "),
        ("log='/srv'", "2:5: error: /srv is a directory"),
        ("log={format='combined'}", "2:13: error: `format` cannot be"),
    ] {
        same(keys, &wrong(&format!("{keys}\n{ECHO}")), &[expected]);
    }
}

fn address(text: &str) -> Listen {
    crate::config::parse_listen(text).unwrap()
}

#[test]
fn what_is_required_is_asked_for() {
    let found = load("").unwrap_err();
    let message = "f:1:1: error: there is no pool, so there is nothing to serve; \
                   expected a table [pool.NAME] with `listen` and `service`";
    assert_eq!(found, [message]);
    for (keys, expected) in [
        (
            "",
            &[
                "1:7: error: `listen` is missing; add",
                "1:7: error: `service` is missing; add",
            ][..],
        ),
        (
            "service='message'\nlisten='7'",
            &["2:9: error: the service message needs `message`"],
        ),
        (
            "service='http'\nlisten='7'",
            &["2:9: error: the service http needs its own table"],
        ),
        (HTTP, &["4:1: error: `root` is missing"]),
        (
            "service='echo'\nlisten=[]",
            &["3:8: error: `listen` is empty"],
        ),
        (
            "service='echo'\nlisten={mode='0600'}",
            &["3:8: error: `address` is missing"],
        ),
    ] {
        same(keys, &wrong(keys), expected);
    }
}

#[test]
fn a_pool_has_64_listeners_at_most() {
    let listen = |count: u32| {
        let places: Vec<String> = (1..=count)
            .map(|port| format!("'127.0.0.1:{port}'"))
            .collect();
        format!("service='echo'\nlisten=[\n{}]", places.join(",\n"))
    };
    assert_eq!(pool(&listen(64)).listen.len(), 64);
    let found = wrong(&listen(65));
    same(
        "65",
        &found,
        &["68:1: error: a pool listens in 64 places at most; use another pool"],
    );
}

#[test]
fn a_key_without_effect_is_a_mistake() {
    for (keys, expected) in [
        (
            "message='x'",
            "`message` has no effect here; only with service = \"message\"",
        ),
        (
            "http={root='/srv/www'}",
            "`http` has no effect here; only with service = \"http\"",
        ),
        (
            "threads_per_worker=2",
            "`threads_per_worker` has no effect here; only with model",
        ),
        (
            "max_connections=2",
            "`max_connections` has no effect here; only with model",
        ),
        (
            "model='event'\nmax_workers=2",
            "`max_workers` has no effect here; only with model",
        ),
        ("group='adm'", "`group` has no effect without `user`"),
    ] {
        let found = wrong(&format!("{ECHO}{keys}"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(expected), "{found:?}");
    }
    let log = format!("[master]\nlog={{to='off',tag='x'}}\n[pool.p]\n{ECHO}");
    same(
        "log",
        &load(&log).unwrap_err(),
        &["2:15: error: `tag` has no effect here"],
    );
    for (listen, expected) in [
        (
            "{address='1.2.3.4:7',v6only=true}",
            "`v6only` has no effect",
        ),
        ("{address='1.2.3.4:7',mode='0600'}", "`mode` has no effect"),
        (
            "{address='unix:/run/x',v6only=true}",
            "`v6only` has no effect",
        ),
    ] {
        let found = wrong(&format!("service='echo'\nlisten={listen}"));
        assert!(found[0].contains(expected), "{found:?}");
    }
}

#[test]
fn sizes_of_a_pool_fit_together() {
    for (keys, expected) in [
        (
            "workers=2\nmax_workers=3",
            &["5:1: error: `max_workers` and a fixed number"][..],
        ),
        (
            "min_spare_workers=5\nmax_spare_workers=4",
            &[
                "4:19: error: `min_spare_workers` is more than `max_spare_workers`; expected at most 4",
            ],
        ),
        (
            "max_spare_workers=5\nmax_workers=4",
            &["4:19: error: `max_spare_workers` is more than `max_workers`"],
        ),
        (
            "start_workers=5\nmax_workers=4",
            &["4:15: error: `start_workers` is more than `max_workers`"],
        ),
        (
            "min_spare_workers=5\nmax_workers=4",
            &["4:19: error: `min_spare_workers` is more than `max_workers`"],
        ),
        ("workers=0", &["4:9: error: `workers` is out of range"]),
        (
            "workers='many'",
            &["4:9: error: `workers` cannot be \"many\"; expected \"auto\" or a whole"],
        ),
        // What depends on a wrong word is not judged.
        (
            "model='evnt'\nmax_connections=3\nmax_workers=4",
            &["4:7: error: `model` cannot be \"evnt\"; did you mean \"event\"?"],
        ),
    ] {
        same(keys, &wrong(&format!("{ECHO}{keys}")), expected);
    }
}

#[test]
fn addresses_are_taken_once() {
    let two = |one: &str, other: &str| {
        load(&format!(
            "[pool.a]\nservice='echo'\nlisten={one}\n[pool.b]\nservice='time'\nlisten={other}"
        ))
        .map(|_| ())
    };
    assert_eq!(two("'127.0.0.1:7'", "'127.0.0.2:7'"), Ok(()));
    assert_eq!(two("'[::]:7'", "'0.0.0.0:7'"), Ok(()));
    for (one, other, message) in [
        (
            "'127.0.0.1:7'",
            "'127.0.0.1:7'",
            "127.0.0.1:7 is listened on twice",
        ),
        (
            "'7'",
            "'127.0.0.1:7'",
            "127.0.0.1:7 overlaps with 0.0.0.0:7",
        ),
        (
            "{address='[::]:7',v6only=false}",
            "'7'",
            "0.0.0.0:7 overlaps with [::]:7",
        ),
        (
            "'unix:/run/x'",
            "'unix:/run/x'",
            "unix:/run/x is listened on twice",
        ),
    ] {
        let found = two(one, other);
        let expected = format!("6:8: error: {message}");
        same(other, &found.unwrap_err(), &[&expected]);
    }
    let entries = "service='echo'\nlisten=['7', '127.0.0.1:7']";
    same(
        entries,
        &wrong(entries),
        &["3:14: error: 127.0.0.1:7 overlaps"],
    );
}

#[test]
fn unix_sockets_are_short_and_shared() {
    let unix = |path: &str| format!("service='echo'\nlisten='unix:{path}'\n");
    let long = format!("/run/{}", "x".repeat(103));
    let expected = "3:8: error: the path of this unix socket has 108 octets";
    same("long", &wrong(&unix(&long)), &[expected]);
    let shared = unix("/run/x") + "accept='reuseport'";
    let expected = "3:8: error: a unix socket cannot be accepted on with \"reuseport\"";
    same("reuseport", &wrong(&shared), &[expected]);
    let text = format!(
        "[master]\ncontrol_socket='/run/x'\npid_file='/run/x'\n[pool.p]\n{}",
        unix("/run/x")
    );
    same(
        "control",
        &load(&text).unwrap_err(),
        &[
            "2:16: error: `control_socket` and `pid_file` are one path",
            "6:8: error: unix:/run/x is the control socket",
        ],
    );
}

#[test]
fn directories_must_exist() {
    for (keys, expected) in [
        ("root='/srv/none'", "5:6: error: the root /srv/none: "),
        (
            "root='/srv/file'",
            "5:6: error: the root /srv/file is not a directory",
        ),
        ("root='www'", "5:6: error: the root /etc/www: "),
        (
            "root='/srv/www'\naccess_log='/srv'",
            "6:12: error: /srv is a directory",
        ),
        (
            "root='/srv/www'\naccess_log='log/a'",
            "6:12: error: the directory /etc/log: ",
        ),
        (
            "root='/srv/www'\naccess_log='/srv/file/a'",
            "6:12: error: /srv/file is not a directory",
        ),
        (
            "root='/srv/www'\naccess_log={to='syslgo'}",
            "6:16: error: `to` cannot be \"syslgo\"; did you mean \"syslog\"?",
        ),
        (
            "root='/srv/www'\naccess_log={to='a.log',format='common'}",
            "6:31: error: `format` cannot be \"common\"; expected \"combined\" or \"json\"",
        ),
        (
            "root='/srv/www'\nmax_target='40KiB'",
            "6:12: error: `max_target` is more than `max_header`; expected at most `max_header`, 32KiB",
        ),
    ] {
        same(keys, &wrong(&format!("{HTTP}{keys}")), &[expected]);
    }
    let text = format!("[master]\npid_file='/var/p'\nlog='/var/l'\n[pool.p]\n{ECHO}");
    let expected = [
        "2:10: error: the directory /var: ",
        "3:5: error: the directory /var: ",
    ];
    same("master", &load(&text).unwrap_err(), &expected);
}

#[test]
fn media_types_are_read_at_once() {
    let http = |keys: &str| match pool(&format!("{HTTP}root='/srv/www'\n{keys}")).service {
        Service::Http(http) => http,
        _ => panic!("the service is http"),
    };
    let types = http("mime_types='mime.types'").mime_types.unwrap();
    assert_eq!(types.path, Path::new("/etc/mime.types"));
    assert_eq!(types.by_extension.len(), 2);
    assert_eq!(http("").mime_types, None);
    assert_eq!(http("").charset.as_deref(), Some("utf-8"));
    assert_eq!(http("charset='off'").charset, None);
    let expected = "expected a file of lines such as \"text/html html htm\"";
    for (file, why) in [
        (
            "wrong.types",
            "/etc/wrong.types:3: the first word is no media type",
        ),
        ("none", "read /etc/none: entity not found"),
    ] {
        let keys = format!("{HTTP}root='/srv/www'\nmime_types='{file}'");
        let found = format!("6:12: error: {why}; {expected}");
        same(file, &wrong(&keys), &[&found]);
    }
}

#[test]
fn users_and_groups_are_looked_up() {
    for (keys, expected) in [
        ("user='nobdy'", "4:6: error: there is no user \"nobdy\""),
        (
            "user='www'\ngroup='nogrp'",
            "5:7: error: there is no group \"nogrp\"",
        ),
        (
            "user='www'\ngroup='broken'",
            "5:7: error: looking up the group \"broken\": permission denied",
        ),
        ("user=33", "4:6: error: `user` is an integer"),
    ] {
        same(keys, &wrong(&format!("{ECHO}{keys}")), &[expected]);
    }
    assert_eq!(
        pool(&format!("{ECHO}user='33'\ngroup='77'"))
            .identity
            .unwrap()
            .gid,
        77
    );
}

#[test]
fn only_root_changes_users() {
    let text =
        format!("[master]\nuser='www'\n[pool.p]\n{ECHO}[pool.q]\nservice='echo'\nlisten='8'");
    let as_user = |uid, gid| {
        let ids = (uid, gid);
        load_as(
            &text,
            &Pretend {
                ids,
                ..Pretend::default()
            },
        )
    };
    let found = as_user(1000, 1000).unwrap_err();
    same(
        "stranger",
        &found,
        &["2:6: error: only root can run workers as www; start as root"],
    );
    let found = as_user(33, 1000).unwrap_err();
    same(
        "group",
        &found,
        &["2:6: error: only root can change the group to 33"],
    );
    let config = as_user(33, 33).unwrap().config;
    assert_eq!(config.pools[0].identity, None, "nothing to change");
}

#[test]
fn a_backlog_is_cut_with_a_warning_if_it_was_asked_for() {
    let system = Pretend {
        somaxconn: Some(128),
        ..Pretend::default()
    };
    let quiet = load_as(&format!("[pool.p]\n{ECHO}"), &system).unwrap();
    assert_eq!(quiet.config.pools[0].backlog, 128);
    assert!(quiet.warnings.is_empty());
    let loud = load_as(&format!("[pool.p]\n{ECHO}backlog=511"), &system).unwrap();
    assert_eq!(loud.config.pools[0].backlog, 128);
    let lines: Vec<_> = loud.warnings.lines().collect();
    let expected = "4:9: warning: `backlog` is cut to 128, which is net.core.somaxconn; \
                    raise it: sysctl net.core.somaxconn=511";
    same("backlog", &lines, &[expected]);
}

/// Each line found begins as expected, file name apart.
pub(super) fn same(what: &str, found: &[String], expected: &[&str]) {
    assert_eq!(found.len(), expected.len(), "{what}: {found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        let begins = found
            .strip_prefix("f:")
            .is_some_and(|l| l.starts_with(expected));
        assert!(begins, "{what}: {found}, not {expected}");
    }
}
