//! A wire between the store and its server that can be cut, and that can swallow what the server says.
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub(crate) struct Proxy {
    port: u16,
    /// What the server says is swallowed.
    deaf: Arc<AtomicBool>,
    wires: Arc<Mutex<JoinSet<()>>>,
}

impl Proxy {
    pub(crate) async fn before(database_url: &str) -> Proxy {
        let server = database_url.split('@').nth(1).unwrap().split('/').next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (deaf, wires) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(JoinSet::new())));
        tokio::spawn({
            let (deaf, wires) = (deaf.clone(), wires.clone());
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let server = TcpStream::connect(&server).await.unwrap();
                    wires.lock().unwrap().spawn(carry(client, server, deaf.clone()));
                }
            }
        });
        Proxy { port, deaf, wires }
    }

    pub(crate) async fn pool(&self, database_url: &str) -> PgPool {
        let (start, rest) = database_url.split_once('@').unwrap();
        let (_, database) = rest.split_once('/').unwrap();
        let url = format!("{start}@127.0.0.1:{}/{database}", self.port);
        PgPoolOptions::new().max_connections(4).connect(&url).await.unwrap()
    }

    pub(crate) fn swallow_answers(&self, swallow: bool) {
        self.deaf.store(swallow, Ordering::SeqCst);
    }

    /// Cuts what is connected now. A server process that is busy doesn't notice.
    pub(crate) fn cut(&self) {
        self.wires.lock().unwrap().abort_all();
    }
}

async fn carry(client: TcpStream, server: TcpStream, deaf: Arc<AtomicBool>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = async {
        let mut buffer = vec![0; 16_384];
        while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
            if !deaf.load(Ordering::SeqCst) && to_client.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
        () = answers => {}
    }
}
