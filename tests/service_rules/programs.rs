//! Rows 117 to 126: programs (RFC 3875).

use crate::row::End::{Closed, Kept};
use crate::row::{CHUNKED, Row, ask, of, row, with};

/// ada:open
const ADA: &str = "Authorization: Basic YWRhOm9wZW4=\r\n";

pub(crate) fn rows() -> Vec<Row> {
    let env = |fields: &str| ask("/cgi-bin/env", fields);
    vec![
        row(117, env("Proxy: x\r\n"), &[200], Kept).lacks(&["HTTP_PROXY"]),
        row(118, env("X_Auth: u\r\n"), &[200], Kept).lacks(&["HTTP_X_AUTH"]),
        row(118, env("X_Auth: u\r\nX-Auth: v\r\n"), &[200], Kept).has(&["HTTP_X_AUTH=v\n"]),
        row(119, ask("/cgi-bin/env/a/b?", "X: y\r\n"), &[200], Kept).has(&[
            "GATEWAY_INTERFACE=CGI/1.1\n",
            "QUERY_STRING=\n",
            "REMOTE_ADDR=127.0.0.1\n",
            "REQUEST_METHOD=GET\n",
            "SCRIPT_NAME=/cgi-bin/env\n",
            "PATH_INFO=/a/b\n",
            "SERVER_NAME=a\n",
            "SERVER_PORT=",
            "SERVER_PROTOCOL=HTTP/1.1\n",
            "SERVER_SOFTWARE=preforkd",
            "HTTP_X=y\n",
        ]),
        row(119, of("/cgi-bin/env"), &[200], Kept)
            .has(&["QUERY_STRING=\n"])
            .lacks(&["CONTENT_LENGTH"]),
        row(
            119,
            "GET http://example.org:81/cgi-bin/env HTTP/1.1\r\nHost: b\r\n\r\n",
            &[200],
            Kept,
        )
        .has(&["SERVER_NAME=example.org\n", "HTTP_HOST=example.org:81\n"])
        .lacks(&["HTTP_HOST=b"]),
        row(
            120,
            with("POST /cgi-bin/env HTTP/1.1", CHUNKED) + "3;x\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
            &[200],
            Kept,
        )
        .has(&["CONTENT_LENGTH=7\n", "abcdefg"])
        .lacks(&["TRANSFER_ENCODING"]),
        row(121, env(ADA), &[200], Kept).lacks(&["AUTHORIZATION", "REMOTE_USER", "AUTH_TYPE"]),
        row(121, ask("/cgi-locked/env", ADA), &[200], Kept)
            .has(&["AUTH_TYPE=Basic\n", "REMOTE_USER=ada\n"])
            .lacks(&["AUTHORIZATION"]),
        row(121, of("/cgi-locked/env"), &[401], Kept),
        row(122, env("X-A: 1\r\nX-B: 2\r\nx-a: 3\r\n"), &[200], Kept).has(&["HTTP_X_A=1, 3\n"]),
        row(123, of("/cgi-bin/missing"), &[404], Kept).has(&[
            "HTTP/1.1 404 Not Here\r\n",
            "\r\nContent-Type: a/b\r\nX-A: b\r\n",
        ]),
        row(124, of("/cgi-bin/local"), &[200], Kept)
            .has(&["of x"])
            .lacks(&["Location"]),
        row(124, of("/cgi-bin/away"), &[302], Kept).has(&["Location: http://other.example/x\r\n"]),
        row(124, of("/cgi-bin/moved"), &[301], Kept).has(&[
            "301 Moved\r\n",
            "Location: /x\r\n",
            "there",
        ]),
        row(125, with("HEAD /cgi-bin/liar HTTP/1.1", ""), &[200], Kept).lacks(&["hello", "gzip"]),
        row(125, of("/cgi-bin/liar"), &[200], Kept)
            .has(&["hello"])
            .lacks(&["gzip", "keep-alive"]),
        row(125, of("/cgi-bin/same"), &[304], Kept),
        row(126, of("/cgi-bin/empty"), &[500], Closed),
        row(126, of("/cgi-bin/untyped"), &[500], Closed).lacks(&["hello"]),
        row(126, of("/cgi-bin/fail"), &[500], Closed),
        row(126, of("/cgi-bin/inject"), &[500], Closed).lacks(&["Set-Cookie"]),
        row(126, of("/cgi-bin/absent"), &[404], Kept),
    ]
}
