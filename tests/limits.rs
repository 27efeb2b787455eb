//! Limits before the first octet, and rules by address: on each model, for all
//! workers of a pool together, whoever is killed.
//!
//! Clients come from several addresses of the loopback; the floods are in
//! `limits/flood`, in a network of their own.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

#[path = "limits/flood.rs"]
mod flood;
mod harness;

use harness::{Client, SOON, Server, control, eventually, on_each_model, process};
use nix::sys::signal::Signal;
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tempfile::TempDir;

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// A pool of the service http on this model, with room for eight connections at
/// least, and these keys.
fn pool(model: &str, keys: &str) -> String {
    let workers = match model {
        "prefork" => "workers = 8",
        "fork" => "workers = 1",
        _ => "workers = 2",
    };
    format!(
        "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n{workers}\n\
         http.root = \"www\"\nhttp.keepalive_timeout = \"60s\"\n{keys}\n"
    )
}

/// A server with this pool.
fn serve(pools: &str) -> Server {
    let directory = TempDir::new().unwrap();
    std::fs::create_dir(directory.path().join("www")).unwrap();
    std::fs::write(directory.path().join("www/index.html"), "here\n").unwrap();
    let mut server = Server::run_with(directory, "control_socket = \"control\"", pools);
    server.expect("over its limits: ");
    server.expect("within its limits again: ");
    server
}

/// A connection from 127.0.0.`host`.
fn connect(address: SocketAddr, host: u8) -> io::Result<Client> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let from = IpAddr::V4(Ipv4Addr::new(127, 0, 0, host));
    socket.bind(&SocketAddr::new(from, 0).into())?;
    socket.connect_timeout(&address.into(), SOON)?;
    Ok(Client::of(socket.into()))
}

/// The answer to a first request on it.
fn ask(client: &mut Client) -> io::Result<u16> {
    use std::io::Write;
    client.stream.write_all(GET.as_bytes())?;
    Ok(client.try_answer(true)?.status)
}

/// A connection that was let in, and stays; or nothing.
fn enter(server: &Server, host: u8) -> Option<Client> {
    // It may be reset before it knows that it is connected.
    let mut client = connect(server.address("web"), host).ok()?;
    match ask(&mut client) {
        Ok(200) => Some(client),
        Ok(503) | Err(_) => None,
        Ok(other) => panic!("status {other}"),
    }
}

/// Waits until the address is let in again.
fn enter_soon(server: &Server, host: u8) -> Client {
    eventually("somebody is let in", SOON, || enter(server, host))
}

/// Waits until it is turned away: for a moment after a reload the generation before
/// may take somebody in, by its own numbers.
fn turned_away_soon(server: &Server, host: u8) {
    eventually("somebody is turned away", SOON, || {
        enter(server, host).is_none().then_some(())
    });
}

/// What somebody hears who asks for nothing: also while it connects, if it is reset
/// soon enough.
fn hear(server: &Server, host: u8) -> io::Result<Vec<u8>> {
    connect(server.address("web"), host)?.try_read_to_end()
}

/// What the status says of the pool.
fn status(server: &Server) -> Value {
    control::status(server)["pools"][0].clone()
}

fn count(server: &Server, group: &str, cause: &str) -> u64 {
    let status = status(server);
    let found = status[group][cause].as_u64();
    found.unwrap_or_else(|| panic!("no {group} {cause}: {status}"))
}

on_each_model! {
    an_address_has_as_many_as_it_may_in_all_workers_together
    killed_workers_change_nothing
    while_all_places_are_taken_clients_wait
    a_dry_run_lets_everybody_in
    a_draining_generation_counts
    rules_decide_who_may_connect
    who_was_turned_away_leaves_nothing_behind
    sessions_of_programs_count_as_long_as_they_last
}

fn an_address_has_as_many_as_it_may_in_all_workers_together(model: &str) {
    let server = serve(&pool(
        model,
        "limits.connections_per_address = 2\nlimits.retry_after = \"1500ms\"",
    ));
    let first = enter(&server, 2).unwrap();
    let second = enter(&server, 2).unwrap();
    let mut third = connect(server.address("web"), 2).unwrap();
    third.send(GET);
    let answer = third.try_answer(true).unwrap();
    assert_eq!(
        (answer.status, answer.field("Retry-After")),
        (503, Some("2"))
    );
    assert_eq!(answer.field("Connection"), Some("close"));
    assert_eq!(third.read_to_end(), b"");
    let other = enter(&server, 3).unwrap();
    assert!(enter(&server, 2).is_none());
    assert_eq!(count(&server, "shed", "address"), 2);
    assert_eq!(
        status(&server)["connections"],
        3,
        "who was turned away was never in"
    );
    drop(first);
    let again = enter_soon(&server, 2);
    assert!(enter(&server, 2).is_none());
    drop((second, other, again));
    server.stop();
}

fn killed_workers_change_nothing(model: &str) {
    let mut server = serve(&pool(model, "limits.connections_per_address = 3"));
    for pattern in ["SIGKILL", "died young", "killed", "has left", "worker"] {
        server.expect(pattern);
    }
    for round in 0..3 {
        let held: Vec<Client> = (0..3).map(|_| enter_soon(&server, 2)).collect();
        assert!(enter(&server, 2).is_none(), "round {round}");
        // Those who serve, and all others: the counts are theirs alone.
        process::end(&process::descendants(server.pid()));
        drop(held);
    }
    let held: Vec<Client> = (0..3).map(|_| enter_soon(&server, 2)).collect();
    for _ in 0..4 {
        assert!(enter(&server, 2).is_none(), "exactly three");
    }
    eventually("those three alone are in", SOON, || {
        (status(&server)["active"] == 3).then_some(())
    });
    drop(held);
    server.signal(Signal::SIGTERM);
    server.assert_good_end();
}

fn while_all_places_are_taken_clients_wait(model: &str) {
    let server = serve(&pool(model, "limits.connections = 2"));
    let first = enter(&server, 2).unwrap();
    let second = enter(&server, 3).unwrap();
    let mut third = connect(server.address("web"), 4).unwrap();
    third.send(GET);
    third
        .stream
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let error = third.try_answer(true).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "it waits");
    assert_eq!(status(&server)["active"], 2);
    drop(first);
    third.stream.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(third.try_answer(true).unwrap().status, 200);
    assert_eq!(count(&server, "shed", "full"), 0, "nobody was turned away");
    drop((second, third));
    server.stop();
}

fn a_dry_run_lets_everybody_in(model: &str) {
    let keys = "limits.connections = 1\nlimits.connections_per_address = 1\n\
                limits.accept_rate = \"2/h\"\nlimits.dry_run = true";
    let server = serve(&pool(model, keys));
    let held: Vec<Client> = (0..4).map(|_| enter(&server, 2).unwrap()).collect();
    // Two are within the rate, of which one is the first.
    assert_eq!(count(&server, "spared", "full"), 1);
    assert_eq!(count(&server, "spared", "rate"), 2);
    let shed = status(&server)["shed"].clone();
    let mut counts = shed.as_object().unwrap().values();
    assert!(counts.all(|count| count == 0), "{shed}");
    // The line of `tell` in src/master/crew/limits.rs.
    server.log.wait_for("not turned away, for dry_run", SOON);
    drop(held);
    server.stop();
}

fn a_draining_generation_counts(model: &str) {
    let keys = |most: u32| format!("limits.connections_per_address = {most}");
    let mut server = serve(&pool(model, &keys(3)));
    // Under way, so that the drain waits for them: the beginning of the next request
    // has come with the first one.
    let mut held: Vec<Client> = (0..2)
        .map(|_| {
            let mut client = connect(server.address("web"), 2).unwrap();
            client.send(format!("{GET}GET / HTTP/1.1\r\nHost: te"));
            assert_eq!(client.answer().status, 200);
            client
        })
        .collect();
    server.configure("control_socket = \"control\"", &pool(model, &keys(2)));
    server.reload(2);
    // Two of the old generation are in.
    turned_away_soon(&server, 2);
    let other = enter(&server, 3).unwrap();
    for client in &mut held {
        client.send("st\r\nConnection: close\r\n\r\n");
        assert_eq!(client.try_answer(true).unwrap().status, 200);
    }
    drop(held);
    // They have nobody any more, and nobody comes to them.
    server.wait_for_workers(0, "gen 1 ");
    let held = [enter_soon(&server, 2), enter_soon(&server, 2)];
    assert!(enter(&server, 2).is_none(), "the new limit holds");
    drop((held, other));
    server.stop();
}

fn rules_decide_who_may_connect(model: &str) {
    let unix = "listen = [\"127.0.0.1:0\", \"unix:socket\"]";
    let pools = |keys: &str| pool(model, keys).replace("listen = \"127.0.0.1:0\"", unix);
    let rules = "deny = [\"127.0.0.2\", \"unix:\"]\nallow = \"127.0.0.0/8\"";
    let mut server = serve(&pools(rules));
    let socket = server.directory.path().join("socket");
    assert_eq!(hear(&server, 2).unwrap(), b"", "closed without a word");
    // The line of `tell_denied` in src/driver/gate.rs.
    server.log.wait_for("127.0.0.2", SOON);
    server.log.wait_for("may not connect here", SOON);
    assert_eq!(count(&server, "shed", "denied"), 1);
    drop(enter(&server, 3).unwrap());
    let mut local = UnixStream::connect(&socket).unwrap();
    local.set_read_timeout(Some(SOON)).unwrap();
    let mut room = Vec::new();
    assert_eq!(io::Read::read_to_end(&mut local, &mut room).unwrap(), 0);

    server.configure(
        "control_socket = \"control\"",
        &pools("deny = \"127.0.0.3\"\ndenied = \"reset\""),
    );
    server.reload(2);
    drop(enter_soon(&server, 2));
    eventually("the new rule holds", SOON, || {
        let error = hear(&server, 3).err()?;
        (error.kind() == io::ErrorKind::ConnectionReset).then_some(())
    });
    let lines = server.log.lines();
    let news = lines.iter().filter(|line| line.contains("over its limits"));
    assert_eq!(news.count(), 0, "who is denied is no news");
    server.stop();
}

/// Who is told to come back is let go soon, also by a worker that then has nothing
/// to do.
fn who_was_turned_away_leaves_nothing_behind(model: &str) {
    let keys = "limits.connections_per_address = 1";
    let server = serve(&pool(model, keys));
    let port = server.address("web").port();
    let name = format!("{:08X}:{port:04X}", u32::from_ne_bytes([127, 0, 0, 1]));
    // Our ends of connections, as the kernel lists them (proc_net_tcp): neither the
    // listener nor what only waits for its number to be free.
    let ends = || -> usize {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let rows = table.lines().map(str::split_whitespace);
        let ours = rows.map(Iterator::collect::<Vec<_>>);
        ours.filter(|row| row[1] == name && !["0A", "06"].contains(&row[3]))
            .count()
    };
    let first = enter(&server, 2).unwrap();
    for _ in 0..5 {
        assert!(hear(&server, 2).unwrap().starts_with(b"HTTP/1.1 503 "));
    }
    assert!(ends() > 0);
    drop(first);
    eventually("their sockets are closed", SOON, || {
        (ends() == 0).then_some(())
    });
    server.stop();
}

fn sessions_of_programs_count_as_long_as_they_last(model: &str) {
    let keys = "limits.connections_per_address = 2\nlimits.over = \"close\"\n\
                exec.command = [\"/bin/cat\"]";
    let pools = pool(model, keys).replace("service = \"http\"", "service = \"exec\"");
    let pools = pools.lines().filter(|line| !line.starts_with("http."));
    let mut server = serve(&pools.collect::<Vec<_>>().join("\n"));
    for pattern in [
        "SIGKILL",
        "died young",
        "killed",
        "has left",
        "worker",
        "cat",
    ] {
        server.expect(pattern);
    }
    let begin = |server: &Server| {
        let mut client = connect(server.address("web"), 2).ok()?;
        std::io::Write::write_all(&mut client.stream, b"here").ok()?;
        let mut room = [0; 4];
        let came = io::Read::read_exact(&mut client.stream, &mut room);
        came.ok().map(|()| client)
    };
    for round in 0..3 {
        let held = [0, 1].map(|_| eventually("a session begins", SOON, || begin(&server)));
        for _ in 0..3 {
            assert!(begin(&server).is_none(), "round {round}: exactly two");
        }
        match round {
            // The programs end by themselves, …
            0 => drop(held),
            // … are killed, …
            1 => {
                let all = server.workers().into_iter().flat_map(programs);
                process::end(&all.collect::<Vec<_>>());
            }
            // … or those are who started them.
            _ => process::end(&process::descendants(server.pid())),
        }
    }
    let held = [0, 1].map(|_| eventually("a session begins", SOON, || begin(&server)));
    assert!(begin(&server).is_none(), "exactly two");
    drop(held);
    server.signal(Signal::SIGTERM);
    server.assert_good_end();
}

/// Processes below this one that have none of their own.
fn programs(process: u32) -> Vec<u32> {
    let children = process::children(process);
    let below = children
        .into_iter()
        .flat_map(|child| match programs(child) {
            none if none.is_empty() => vec![child],
            some => some,
        });
    below.collect()
}

#[test]
fn each_worker_has_its_socket_and_all_have_one_limit() {
    for model in ["prefork", "event", "threads"] {
        let keys = "accept = \"reuseport\"\nlimits.connections_per_network = 3\n\
                    limits.connections = 8\nlimits.exempt = \"127.0.0.9\"";
        let server = serve(&pool(model, keys));
        let mut held: Vec<Client> = Vec::new();
        // A worker that is busy may have been chosen by the kernel: come again.
        let mut enter_in_time = |host: u8| -> bool {
            let mut client = connect(server.address("web"), host).unwrap();
            let time = Duration::from_millis(if model == "event" { 5000 } else { 100 });
            client.stream.set_read_timeout(Some(time)).unwrap();
            let entered = matches!(ask(&mut client), Ok(200));
            if entered {
                held.push(client);
            }
            entered
        };
        let mut three = 0;
        eventually("three of the network are in", SOON, || {
            three += u32::from(enter_in_time(2));
            (three == 3).then_some(())
        });
        let others = (0..8).filter(|host| enter_in_time(10 + host)).count();
        assert_eq!(others, 0, "{model}: it is one network");
        drop(held);
        server.stop();
    }
}

/// Who waits for a client has no place: however many lanes look at a queue at the
/// same moment, one of them finds somebody there.
#[test]
fn who_waits_for_clients_takes_nobodys_place() {
    // With a place taken for nobody, chance would count it …
    let early = "limits.connections = 8\nlimits.random_early_drop = \"3:100:3\"";
    // … and a worker with another queue would find none for its client.
    let queues = "accept = \"reuseport\"\nlimits.connections = 2";
    for (model, keys) in [("prefork", early), ("threads", early), ("threads", queues)] {
        let server = serve(&pool(model, keys));
        for round in 0..20 {
            let enter = || {
                let mut client = connect(server.address("web"), 2).unwrap();
                let answer = ask(&mut client).map_err(|error| error.to_string());
                assert_eq!(answer, Ok(200), "{model}: round {round}");
                client
            };
            drop([enter(), enter()]);
            eventually("they have left", SOON, || {
                (status(&server)["active"] == 0).then_some(())
            });
        }
        server.stop();
    }
}

#[test]
fn a_source_comes_no_faster_than_it_may() {
    let server = serve(&pool(
        "prefork",
        "limits.accept_rate = \"1/h\"\nlimits.burst = 3\nlimits.over = \"reset\"",
    ));
    for _ in 0..3 {
        drop(enter(&server, 2).unwrap());
    }
    let error = hear(&server, 2).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    drop(enter(&server, 3).unwrap());
    assert_eq!(count(&server, "shed", "rate"), 1);
    server.stop();
}

#[test]
fn other_services_have_a_banner() {
    for (model, over) in [
        ("prefork", "answer"),
        ("event", "answer"),
        ("fork", "close"),
    ] {
        let banner = if over == "answer" {
            "limits.banner = \"full, sorry\\n\""
        } else {
            ""
        };
        let server = serve(&format!(
            "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"echo\"\nmodel = \"{model}\"\n\
             workers = 2\nlimits.random_early_drop = \"1:100:1\"\nlimits.over = \"{over}\"\n{banner}\n"
        ));
        let mut first = connect(server.address("web"), 2).unwrap();
        first.send("hello");
        assert_eq!(first.read(5), b"hello");
        let mut second = connect(server.address("web"), 3).unwrap();
        let expected: &[u8] = if over == "answer" {
            b"full, sorry\n"
        } else {
            b""
        };
        assert_eq!(second.read_to_end(), expected, "{model}");
        assert_eq!(count(&server, "shed", "early"), 1);
        drop(first);
        server.stop();
    }
}

/// Behind a proxy it is the client that comes once it is named, by chance as well.
#[test]
fn chance_decides_of_those_whom_a_proxy_names() {
    for model in harness::MODELS {
        let listen = "listen = { address = \"127.0.0.1:0\", proxy_protocol = true }";
        let server = serve(&format!(
            "[pool.web]\n{listen}\nservice = \"echo\"\nmodel = \"{model}\"\nworkers = 2\n\
             limits.random_early_drop = \"1:100:1\"\nlimits.exempt = \"192.0.2.9\"\n\
             limits.banner = \"full, sorry\\n\"\n"
        ));
        let come = |client: &str| {
            let mut socket = connect(server.address("web"), 1).unwrap();
            socket.send(format!("PROXY TCP4 {client} 192.0.2.1 5 80\r\nhello"));
            socket
        };
        let mut first = come("192.0.2.2");
        assert_eq!(first.read(5), b"hello", "{model}");
        for _ in 0..3 {
            assert_eq!(come("192.0.2.3").read_to_end(), b"full, sorry\n", "{model}");
        }
        assert_eq!(count(&server, "shed", "early"), 3);
        let mut exempt = come("192.0.2.9");
        assert_eq!(exempt.read(5), b"hello", "{model}");
        drop((first, exempt));
        server.stop();
    }
}

/// However many workers shed, the pool says so once, and once that it is over.
#[test]
fn begin_and_end_are_told_once() {
    let mut server = serve(&pool("prefork", "limits.connections_per_address = 1"));
    let held = enter(&server, 2).unwrap();
    let crowd: Vec<_> = (0..4)
        .map(|_| {
            let address = server.address("web");
            std::thread::spawn(move || {
                let turned_away = |_: &u32| {
                    let mut client = connect(address, 2).unwrap();
                    ask(&mut client).is_ok_and(|status| status == 503)
                };
                (0..25).filter(turned_away).count()
            })
        })
        .collect();
    let turned_away: usize = crowd.into_iter().map(|one| one.join().unwrap()).sum();
    assert_eq!(turned_away, 100);
    // Both lines are of `tell` in src/master/crew/limits.rs.
    let over = server.log.wait_for("within its limits again", SOON);
    assert!(
        over.contains("100 clients turned away (address 100)"),
        "{over}"
    );
    assert_eq!(status(&server)["shedding"], false);
    let lines = |text: &str| {
        let lines = server.log.lines();
        lines.iter().filter(|line| line.contains(text)).count()
    };
    assert_eq!(lines("pool web: over its limits: "), 1, "{}", server.log);
    assert_eq!(lines("pool web: within its limits again: "), 1);
    // And anew.
    assert!(enter(&server, 2).is_none());
    eventually("it is told again", SOON, || {
        (lines("pool web: over its limits: 1 client turned away") == 1).then_some(())
    });
    // What is told within a moment is told to all who ask.
    eventually("the status counts on", SOON, || {
        (count(&server, "shed", "address") == 101).then_some(())
    });
    drop(held);
    server.signal(Signal::SIGTERM);
    server.assert_good_end();
}
