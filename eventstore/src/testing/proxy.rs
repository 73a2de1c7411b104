//! A wire between a client and its PostgreSQL, on loopback: it can be cut, be deaf in either direction, or freeze without a word.
use super::TestDatabase;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// What becomes of what is said over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Carries,
    /// What the server says is swallowed: the client never learns what it did.
    SwallowsAnswers,
    /// What the client says is swallowed: the server never hears of it.
    SwallowsCalls,
    /// Nothing moves in either direction, and nobody is told; what was said is carried once it thaws.
    Frozen,
}

#[derive(Debug)]
pub struct Proxy {
    port: u16,
    wire: watch::Sender<Wire>,
    wires: Arc<Mutex<JoinSet<()>>>,
    _listener: AbortOnDropHandle<()>,
}

impl Proxy {
    /// # Panics
    /// When it can't listen on loopback.
    pub async fn before(database: &TestDatabase) -> Proxy {
        let server = format!("127.0.0.1:{}", port_of(database.url()));
        let bound = async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let port = listener.local_addr()?.port();
            Ok::<_, std::io::Error>((listener, port))
        };
        let (listener, port) = match bound.await {
            Ok(bound) => bound,
            Err(why) => panic!("no proxy: {why}"),
        };
        let (wire, state) = watch::channel(Wire::Carries);
        let wires = Arc::new(Mutex::new(JoinSet::new()));
        let listening = tokio::spawn({
            let wires = Arc::clone(&wires);
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let (server, state) = (server.clone(), state.clone());
                    let carried = async move {
                        // Without a server its clients are turned away.
                        if let Ok(server) = TcpStream::connect(&server).await {
                            carry(client, server, state).await;
                        }
                    };
                    let mut wires = wires.lock().unwrap_or_else(PoisonError::into_inner);
                    while wires.try_join_next().is_some() {}
                    wires.spawn(carried);
                }
            }
        });
        Proxy { port, wire, wires, _listener: AbortOnDropHandle::new(listening) }
    }

    /// The same database, by way of this wire.
    pub fn database(&self, database: &TestDatabase) -> TestDatabase {
        let to = format!(":{}/", self.port);
        TestDatabase { url: database.url().replacen(&format!(":{}/", port_of(database.url())), &to, 1) }
    }

    pub fn set(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }

    /// Cuts what is connected now. A server process that is busy doesn't notice.
    pub fn cut(&self) {
        self.wires.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

/// PostgreSQL's own when the URL names none.
fn port_of(url: &str) -> u16 {
    let authority = url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(5432)
}

async fn carry(client: TcpStream, server: TcpStream, state: watch::Receiver<Wire>) {
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pump(from_client, to_server, state.clone(), Wire::SwallowsCalls) => {}
        () = pump(from_server, to_client, state, Wire::SwallowsAnswers) => {}
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut state: watch::Receiver<Wire>,
    swallowed: Wire,
) {
    let mut buffer = vec![0; 16_384];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let Ok(wire) = state.wait_for(|wire| *wire != Wire::Frozen).await.map(|wire| *wire) else { return };
        if wire != swallowed && to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
