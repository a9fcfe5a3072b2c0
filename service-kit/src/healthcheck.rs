//! Asks a process on this machine whether it is ready: the health check of a container without
//! curl.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use crate::HostPort;
use crate::config::exit_with;

/// The time limit of each step. Less than the limit of the image's health check.
const STEP_TIMEOUT: Duration = Duration::from_secs(2);

/// The largest response that is read.
const MAX_RESPONSE: u64 = 64 << 10;

/// Prints the `/readyz` response of the process whose `OPS_ADDR` this is. The exit status is 0 if
/// it is ready, 1 if it is not ready or does not answer, and 64 if the address can't be used.
#[allow(clippy::print_stderr, reason = "it is a command's error, and there are no logs")]
pub fn run(ops_addr: &HostPort) -> ExitCode {
    if ops_addr.port() == 0 {
        exit_with("OPS_ADDR: which port 0 became is not known here; name one");
    }
    match fetch_readiness(ops_addr) {
        Ok(response) => {
            if writeln!(std::io::stdout(), "{}", response.body).is_err() {
                // Nothing reads the output; the exit status is still valid.
            }
            if response.ready { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

struct Readiness {
    ready: bool,
    body: String,
}

/// Returns the response of the first address that gives one: the process listens on one of them.
fn fetch_readiness(ops_addr: &HostPort) -> anyhow::Result<Readiness> {
    let mut response = Err(anyhow::anyhow!("{ops_addr} stands for no address"));
    for address in ops_addr.addresses() {
        let address = loopback_if_unspecified(*address);
        response = fetch(address).with_context(|| format!("no answer from {address}"));
        if response.is_ok() {
            break;
        }
    }
    response
}

fn fetch(address: SocketAddr) -> anyhow::Result<Readiness> {
    let mut stream = TcpStream::connect_timeout(&address, STEP_TIMEOUT)?;
    stream.set_read_timeout(Some(STEP_TIMEOUT))?;
    stream.set_write_timeout(Some(STEP_TIMEOUT))?;
    // HTTP/1.0: the response is not chunked, and the server closes the connection after it.
    stream.write_all(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut response = String::new();
    stream.take(MAX_RESPONSE).read_to_string(&mut response)?;
    let (head, body) = response.split_once("\r\n\r\n").context("it is cut off")?;
    let status = head.split(' ').nth(1).context("it has no status")?;
    Ok(Readiness { ready: status == "200", body: body.to_owned() })
}

/// A process that listens on all addresses is reachable on loopback.
fn loopback_if_unspecified(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_address_is_probed_on_loopback_and_others_as_they_are() {
        for (listens, asked) in [
            ("0.0.0.0:9000", "127.0.0.1:9000"),
            ("[::]:9000", "[::1]:9000"),
            ("10.1.2.3:9000", "10.1.2.3:9000"),
        ] {
            let listens: SocketAddr = listens.parse().expect("an address");
            assert_eq!(loopback_if_unspecified(listens).to_string(), asked);
        }
    }
}
