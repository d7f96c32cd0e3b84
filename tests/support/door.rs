//! Doors over TCP: the second one to each service, and Lambda's Runtime API, so that the program itself can be run.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::clock::Clock;
use super::ec2::Ec2;
use super::rds::Rds;
use super::router::Router;

/// A request as far as these servers read it.
struct Request {
    path: String,
    authorization: String,
    /// `x-amz-target`, in which JSON 1.1 names the operation.
    target: String,
    body: Vec<u8>,
}

/// A status, further headers, and a body.
type Response = (u16, String, String);

/// EC2 and RDS at an address; their clock follows the one on the wall.
pub fn open(ec2: Ec2, rds: Rds, clock: Clock) -> SocketAddr {
    let began = Instant::now();
    serve(move |request| {
        clock.follow(began.elapsed());
        if let Some(keys) = credentials(&request.path) {
            return (200, "Content-Type: application/json\r\n".to_owned(), keys);
        }
        let (status, body) = if request.authorization.contains("/rds/aws4_request") {
            rds.answer(&request.authorization, &request.body)
        } else {
            ec2.answer(&request.authorization, &request.body)
        };
        (status, String::new(), body)
    })
}

/// All services at an address, each by what a request is signed for; their clock follows the one on the wall.
pub fn open_to_all(services: Router, clock: Clock) -> SocketAddr {
    let began = Instant::now();
    serve(move |request| {
        clock.follow(began.elapsed());
        let (status, body) = services.answer(&request.authorization, &request.target, &request.body);
        (status, String::new(), body)
    })
}

/// What a container's endpoint, as in `CloudShell`, or IAM Identity Center gives to whoever asks.
fn credentials(path: &str) -> Option<String> {
    let expires = SystemTime::now() + Duration::from_hours(1);
    let expires = expires.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    if path.starts_with("/container") {
        let expires = jiff::Timestamp::from_second(expires.as_secs().cast_signed()).expect("a time");
        let keys = r#""AccessKeyId": "container", "SecretAccessKey": "secret", "Token": "token""#;
        return Some(format!(r#"{{{keys}, "Expiration": "{expires}"}}"#));
    }
    path.starts_with("/federation/credentials").then(|| {
        let keys = r#""accessKeyId": "sso", "secretAccessKey": "secret", "sessionToken": "token""#;
        format!(r#"{{"roleCredentials": {{{keys}, "expiration": {}}}}}"#, expires.as_millis())
    })
}

/// Lambda's Runtime API for one invocation: gives out `event` once, and sends on what is said of it, the path's last
/// word (`response` or `error`) and the body.
pub fn runtime_api(event: &'static str, timeout: Duration) -> (SocketAddr, mpsc::Receiver<(String, String)>) {
    let (said, answers) = mpsc::channel();
    let given_out = std::sync::atomic::AtomicBool::new(false);
    let address = serve(move |request| {
        if request.path.ends_with("/next") {
            if given_out.swap(true, std::sync::atomic::Ordering::Relaxed) {
                // Lambda holds this request until there is another event; here there is none.
                thread::park();
            }
            let deadline = SystemTime::now() + timeout;
            let since = deadline.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis();
            let headers = format!(
                "Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n\
                 Lambda-Runtime-Deadline-Ms: {since}\r\n\
                 Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:ap-northeast-2:123456789012:function:f\r\n"
            );
            return (200, headers, event.to_owned());
        }
        let (_, kind) = request.path.rsplit_once('/').expect("a path");
        let body = String::from_utf8(request.body).expect("JSON");
        said.send((kind.to_owned(), body)).expect("the test waits for it");
        (202, String::new(), String::new())
    });
    (address, answers)
}

/// A server on a free port for as long as the tests run: a thread for each connection.
fn serve(answer: impl Fn(Request) -> Response + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let answer = answer.clone();
            thread::spawn(move || {
                // Or the kernel holds small answers back.
                connection.set_nodelay(true).expect("a TCP connection");
                let mut reader = BufReader::new(connection);
                while let Some(request) = read(&mut reader) {
                    write(reader.get_mut(), &answer(request));
                }
            });
        }
    });
    address
}

/// The next request of a connection, until the other side closes it.
fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let path = line.split(' ').nth(1)?.to_owned();
    let (mut length, mut authorization, mut target) = (0, String::new(), String::new());
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => value.clone_into(&mut authorization),
            "x-amz-target" => value.clone_into(&mut target),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { path, authorization, target, body })
}

fn write(connection: &mut TcpStream, (status, headers, body): &Response) {
    let length = body.len();
    let answer = format!("HTTP/1.1 {status} OK\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
    // A program that has gone away is what the test will see.
    let _ = connection.write_all(answer.as_bytes());
}
