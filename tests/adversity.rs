//! Clients that misbehave, and a machine that runs short: on each model, the
//! worker lives on, and the next client is served.

#![allow(clippy::unwrap_used, reason = "a test may fail by a panic")]

mod harness;

use harness::server::{program, write_configuration};
use harness::{Client, SOON, Server, eventually, get, let_time_pass, on_each_model, process};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use socket2::SockRef;
use std::fs::File;
use std::os::fd::AsFd;
use std::process::Command;
use std::time::{Duration, Instant};
use tempfile::TempDir;

on_each_model! {
    a_reset_in_the_middle_of_an_answer_costs_one_connection
    a_client_that_never_reads_is_cut
    a_client_that_says_nothing_is_cut
    a_client_that_says_nothing_can_be_left_to_the_kernel
    a_client_that_is_left_to_the_kernel_is_served_before_the_end
    half_a_head_and_silence_is_408
    a_trickle_is_cut_at_the_deadline_of_the_whole_head
    an_idle_connection_is_cut
    a_file_that_shrinks_while_it_is_sent_ends_the_connection_alone
    a_hundred_clients_wait_for_four_places
    a_queue_that_overflows_does_not_stand_still
}

/// Larger than what the kernel buffers for one connection.
const LARGE: u64 = 256 << 20;

/// One worker, so that whoever is not free again is missed; a large file.
fn server(model: &str, keys: &str) -> Server {
    let directory = TempDir::new().unwrap();
    std::fs::create_dir(directory.path().join("www")).unwrap();
    std::fs::write(directory.path().join("www/index.html"), "index\n").unwrap();
    let large = File::create(directory.path().join("www/large")).unwrap();
    large.set_len(LARGE).unwrap();
    Server::run_with(directory, "", &pool(model, "workers = 1", keys))
}

fn pool(model: &str, size: &str, keys: &str) -> String {
    let threads = if model == "threads" {
        "threads_per_worker = 1\n"
    } else {
        ""
    };
    format!(
        "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n\
         linger_timeout = \"100ms\"\n{size}\n{threads}http.root = \"www\"\n{keys}\n"
    )
}

/// The deadlines of these tests: short, but no client is so slow on a busy machine
/// that it does not come to its next call in that time.
const SHORT: &str = "500ms";
const SHORT_TIME: Duration = Duration::from_millis(500);

/// That the pool serves, and by the same processes as before.
fn assert_served_by(server: &Server, workers: &[u32]) {
    assert_eq!(get(server.address("web"), "/").body, b"index\n");
    assert_eq!(server.workers(), workers, "{}", server.log);
}

fn a_reset_in_the_middle_of_an_answer_costs_one_connection(model: &str) {
    let server = server(model, "");
    let workers = server.workers();
    for read in [0, 1, 100_000] {
        let mut client = Client::connect(server.address("web"));
        client.send("GET /large HTTP/1.1\r\nHost: test\r\n\r\n");
        client.read(read);
        client.reset();
        // Answers that nobody takes any more: a SIGPIPE would end the worker.
        let mut client = Client::connect(server.address("web"));
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n".repeat(50));
        client.read(read.min(1));
        client.reset();
        assert_served_by(&server, &workers);
    }
    server.stop();
}

fn a_client_that_never_reads_is_cut(model: &str) {
    let server = server(model, "write_timeout = \"200ms\"");
    let workers = server.workers();
    let mut client = Client::connect(server.address("web"));
    client.send("GET /large HTTP/1.1\r\nHost: test\r\n\r\n");
    // This waits for the place that the other one holds, on most models.
    assert_served_by(&server, &workers);
    server.log.wait_for("closed: write-stalled", SOON);
    assert!((client.drain() as u64) < LARGE);
    server.stop();
}

fn a_client_that_says_nothing_is_cut(model: &str) {
    let server = server(model, &format!("http.header_timeout = \"{SHORT}\""));
    let workers = server.workers();
    let mut client = Client::connect(server.address("web"));
    assert_eq!(client.read_to_end(), b"", "closed, and not a word");
    assert_served_by(&server, &workers);
    server.stop();
}

/// More than `CROWD` in src/driver/event.rs: those who wait are put to rest.
#[test]
fn each_of_a_crowd_is_woken_for_what_it_does() {
    const REQUEST: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    const LAST: &str = "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
    let server = server("event", "http.keepalive_timeout = \"60s\"");
    process::allow_many_descriptors();
    let mut clients: Vec<Client> = (0..600)
        .map(|_| {
            let mut client = Client::connect(server.address("web"));
            client.send(REQUEST);
            assert_eq!(client.answer().body, b"index\n");
            client
        })
        .collect();
    for (number, client) in clients.iter_mut().enumerate() {
        let (begin, rest) = REQUEST.split_at(number % REQUEST.len());
        client.send(begin);
        client.send(format!("{rest}{}", REQUEST.repeat(number % 3)));
        for _ in 0..=number % 3 {
            assert_eq!(client.answer().body, b"index\n");
        }
    }
    // Fewer than would be put to rest, if there had not been so many.
    for client in clients.drain(..200) {
        client.reset();
    }
    for client in &mut clients {
        client.send(LAST);
        assert_eq!(client.answer().field("connection"), Some("close"));
        assert_eq!(client.read_to_end(), b"");
    }
    server.stop();
}

/// It would have the only place for twenty seconds.
fn a_client_that_says_nothing_can_be_left_to_the_kernel(model: &str) {
    let full = match model {
        "event" | "fork" => "max_connections = 1",
        _ => "",
    };
    let server = server(model, &format!("defer_accept = \"60s\"\n{full}"));
    let workers = server.workers();
    let mut silent = Client::connect(server.address("web"));
    let begun = Instant::now();
    for _ in 0..3 {
        assert_served_by(&server, &workers);
    }
    assert!(begun.elapsed() < SOON / 2, "{:?}", begun.elapsed());
    // Once it speaks it is a client like any other.
    silent.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    assert!(silent.read_to_end().ends_with(b"index\n"));
}

/// It is in no queue that a worker could empty, and may speak at any moment.
fn a_client_that_is_left_to_the_kernel_is_served_before_the_end(model: &str) {
    let mut server = server(model, "defer_accept = \"60s\"");
    let mut client = Client::connect(server.address("web"));
    server.signal(Signal::SIGTERM);
    // Longer than a queue is waited for that nobody was kept from.
    let_time_pass(Duration::from_millis(150));
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert!(client.read_to_end().ends_with(b"index\n"));
    server.assert_good_end();
}

fn half_a_head_and_silence_is_408(model: &str) {
    let server = server(model, &format!("http.header_timeout = \"{SHORT}\""));
    let workers = server.workers();
    let mut client = Client::connect(server.address("web"));
    client.send("GET / HTTP/1.1\r\nHost:");
    let answer = client.answer();
    assert_eq!(answer.status, 408);
    assert_eq!(answer.field("connection"), Some("close"));
    assert_eq!(client.read_to_end(), b"");
    assert_served_by(&server, &workers);
    server.stop();
}

fn a_trickle_is_cut_at_the_deadline_of_the_whole_head(model: &str) {
    let server = server(model, &format!("http.header_timeout = \"{SHORT}\""));
    let workers = server.workers();
    let begun = Instant::now();
    let mut client = Client::connect(server.address("web"));
    client.send("GET / HTTP/1.1\r\nHost: test\r\nX: ");
    client
        .stream
        .set_read_timeout(Some(Duration::from_millis(50)))
        .unwrap();
    // An octet now and then, always long before a deadline that was renewed.
    let answer = eventually("an answer to half a head", SOON, || {
        let _ = std::io::Write::write_all(&mut client.stream, b"x");
        client.try_answer(true).ok()
    });
    assert_eq!(answer.status, 408);
    assert!(begun.elapsed() >= SHORT_TIME - Duration::from_millis(10));
    drop(client);
    assert_served_by(&server, &workers);
    server.stop();
}

fn an_idle_connection_is_cut(model: &str) {
    let server = server(model, "http.keepalive_timeout = \"200ms\"");
    let workers = server.workers();
    let mut client = Client::connect(server.address("web"));
    // Before the server knows of a request, and so before it is idle: what comes
    // after the answer may come late here.
    let begun = Instant::now();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.read_to_end(), b"");
    assert!(begun.elapsed() >= Duration::from_millis(190));
    assert_served_by(&server, &workers);
    server.stop();
}

fn a_file_that_shrinks_while_it_is_sent_ends_the_connection_alone(model: &str) {
    let mut server = server(model, "");
    server.expect("closed: truncated");
    let workers = server.workers();
    let mut client = Client::connect(server.address("web"));
    client.send("GET /large HTTP/1.1\r\nHost: test\r\n\r\n");
    client.read(1 << 20);
    let large = server.directory.path().join("www/large");
    File::options()
        .write(true)
        .open(large)
        .unwrap()
        .set_len(0)
        .unwrap();
    let rest = client.drain() as u64;
    assert!(rest < LARGE - (1 << 20), "the end comes early: {rest}");
    server.log.wait_for("closed: truncated", SOON);
    assert_served_by(&server, &workers);
    server.stop();
}

fn a_hundred_clients_wait_for_four_places(model: &str) {
    let size = match model {
        "prefork" => {
            "start_workers = 1\nmin_spare_workers = 1\nmax_spare_workers = 2\nmax_workers = 4"
        }
        "threads" => "workers = 4",
        _ => "workers = 1\nmax_connections = 4",
    };
    let mut server = {
        let directory = TempDir::new().unwrap();
        std::fs::create_dir(directory.path().join("www")).unwrap();
        std::fs::write(directory.path().join("www/index.html"), "index\n").unwrap();
        Server::run_with(directory, "", &pool(model, size, ""))
    };
    server.expect("is at its maximum");
    let address = server.address("web");
    process::allow_many_descriptors();
    let mut clients: Vec<Client> = (0..100).map(|_| Client::connect(address)).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.answer().body, b"index\n");
    }
    drop(clients);
    if model == "prefork" {
        assert!(server.workers().len() <= 4);
    }
    server.stop();
}

/// Out of descriptors: who has one keeps it, who has none waits, nothing spins,
/// and all are served in the end.
fn out_of_descriptors(model: &str) {
    let directory = TempDir::new().unwrap();
    std::fs::create_dir(directory.path().join("www")).unwrap();
    std::fs::write(directory.path().join("www/index.html"), "index\n").unwrap();
    let capacity = if model == "threads" {
        "workers = 1\nthreads_per_worker = 100"
    } else {
        "workers = 1"
    };
    let pools = format!(
        "[pool.web]\nlisten = \"127.0.0.1:0\"\nservice = \"http\"\nmodel = \"{model}\"\n\
         {capacity}\nlinger_timeout = \"100ms\"\nhttp.root = \"www\"\n"
    );
    let path = write_configuration(directory.path(), "", &pools);
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 64 && exec \"$0\" run -c \"$1\""])
        .arg(program())
        .arg(path);
    let mut server = Server::launch(command, directory);
    let warning = match model {
        "threads" => "RLIMIT_NOFILE has room for",
        _ => "accept: Too many open files",
    };
    server.expect(warning);
    let address = server.address("web");
    let workers = server.workers();
    process::allow_many_descriptors();
    let mut clients: Vec<Client> = (0..100).map(|_| Client::connect(address)).collect();
    // A request that has begun is not for the worker to close.
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: test\r\n");
    }
    server
        .log
        .wait_for(&format!("web[0] warn: {warning}"), SOON);
    let (before, begun) = (process::processor_time(workers[0]), Instant::now());
    eventually("a second has passed", SOON, || {
        (begun.elapsed() >= Duration::from_secs(1)).then_some(())
    });
    let used = process::processor_time(workers[0]) - before;
    assert!(used < Duration::from_millis(300), "it spins: {used:?}");
    for client in &mut clients {
        client.send("Connection: close\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.answer().body, b"index\n");
    }
    drop(clients);
    assert_served_by(&server, &workers);
    server.stop();
}

#[test]
fn event_survives_being_out_of_descriptors() {
    out_of_descriptors("event");
}

#[test]
fn threads_survive_being_out_of_descriptors() {
    out_of_descriptors("threads");
}

/// Connections that only wait for another request make room for new ones.
#[test]
fn idle_connections_make_room_when_descriptors_run_out() {
    let directory = TempDir::new().unwrap();
    std::fs::create_dir(directory.path().join("www")).unwrap();
    std::fs::write(directory.path().join("www/index.html"), "index\n").unwrap();
    let keys = "http.keepalive_timeout = \"1h\"\nhttp.header_timeout = \"1h\"";
    let pools = pool("event", "workers = 1", keys);
    let path = write_configuration(directory.path(), "", &pools);
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 64 && exec \"$0\" run -c \"$1\""])
        .arg(program())
        .arg(path);
    let mut server = Server::launch(command, directory);
    server.expect("accept: ");
    let address = server.address("web");
    process::allow_many_descriptors();
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = Client::connect(address);
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
        assert_eq!(client.answer().status, 200);
        clients.push(client);
    }
    // As long as they are there a stop would wait for them.
    drop(clients);
    server.stop();
}

/// Echo waits for room to write, and so does not read. What the client sends
/// meanwhile are segments so small that their memory is full before their
/// window is, and a kernel that then closes the window drops what comes from
/// beyond it, the word that the client has taken everything included.
fn a_queue_that_overflows_does_not_stand_still(model: &str) {
    let server = Server::run(&format!(
        "[pool.echo]\nservice = \"echo\"\nmodel = \"{model}\"\nworkers = 1\n\
         listen = [{{ address = \"127.0.0.1:0\", rcvbuf = \"48KiB\", sndbuf = \"16KiB\" }}]\n"
    ));
    for segment in [100, 1000] {
        let mut client = Client::connect(server.address("echo"));
        // Not before it is connected: the scale of the windows stays a large one,
        // and a word from less than its unit beyond the window is not repeated.
        let receive = |size| SockRef::from(&client.stream).set_recv_buffer_size(size);
        receive(32 << 10).unwrap();
        // The larger the segments, the larger the window that is promised for them.
        let large = vec![b'x'; 65_000];
        for _ in 0..60 {
            client.send(&large);
            assert!(client.read(large.len()) == large);
        }
        // Each write is a segment by itself: the next one waits until it is sent.
        let lowest = |octets| SockRef::from(&client.stream).set_tcp_notsent_lowat(octets);
        lowest(1).unwrap();
        let mut sent = 0;
        while is_writable(&client, Duration::from_secs(1)) {
            client.send(vec![b'y'; segment]);
            sent += segment;
            assert!(sent < 64 << 20, "an echo that nobody reads has an end");
        }
        assert!(sent > 1 << 20, "{sent}");
        client.finish();
        let echo = client.read_to_end();
        assert!(echo == vec![b'y'; sent], "{} of {sent}", echo.len());
    }
    server.stop();
}

/// Whether the client may send more, now or within this time.
fn is_writable(client: &Client, patience: Duration) -> bool {
    let mut ready = [PollFd::new(client.stream.as_fd(), PollFlags::POLLOUT)];
    let patience = PollTimeout::try_from(patience).unwrap();
    poll(&mut ready, patience).unwrap() > 0
}
