//! Ports for servers of tests.
use std::io;
use std::net::{Ipv4Addr, TcpListener};

const FROM: u16 = 20_000;
const ATTEMPTS: usize = 64;

/// A port of loopback that is free until what is answered is dropped. It lies below those that the system gives to connections, so that none
/// takes it while a server that had it is stopped.
pub fn free_port() -> io::Result<TcpListener> {
    let bind = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let below = given_from();
    if FROM < below {
        for _ in 0..ATTEMPTS {
            if let Ok(listener) = bind(rand::random_range(FROM..below)) {
                return Ok(listener);
            }
        }
    }
    bind(0)
}

/// From which port on the system serves connections of its own choice; 0: it does not say.
fn given_from() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    range.split_whitespace().next().and_then(|low| low.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{FROM, free_port, given_from};

    #[test]
    fn no_connection_is_given_such_a_port() {
        let [first, second] = [(); 2].map(|()| free_port().unwrap());
        let ports = [&first, &second].map(|listener| listener.local_addr().unwrap().port());
        assert_ne!(ports[0], ports[1]);
        let low = given_from();
        assert!(low <= FROM || ports.iter().all(|port| (FROM..low).contains(port)), "{ports:?}, {low}");
    }
}
