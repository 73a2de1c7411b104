//! A wire between Waybill and its PostgreSQL, on which the answers to appends can be lost: done and committed, and nobody is told.
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// What only the connection says that appends.
const APPENDS: &[u8] = b"FROM append_batch(";

pub(crate) struct Wire {
    pub(crate) database_url: String,
    lost: Arc<AtomicBool>,
}

impl Wire {
    /// To the database of this URL, `postgres://USER@HOST:PORT/NAME`.
    pub(crate) async fn to(database_url: &str) -> Wire {
        let (user, rest) = database_url.split_once('@').expect("a URL with a user");
        let (server, name) = rest.split_once('/').expect("a URL with a database");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let lost = Arc::new(AtomicBool::new(false));
        let (server, of_wires) = (server.to_owned(), lost.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&server).await else { continue };
                tokio::spawn(carry(client, server, of_wires.clone()));
            }
        });
        Wire { database_url: format!("{user}@127.0.0.1:{port}/{name}"), lost }
    }

    /// From now on, or no longer.
    pub(crate) fn lose_answers_to_appends(&self, lose: bool) {
        self.lost.store(lose, Ordering::SeqCst);
    }
}

async fn carry(client: TcpStream, server: TcpStream, lost: Arc<AtomicBool>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let appends = AtomicBool::new(false);
    let asks = async {
        let mut buffer = vec![0; 65_536];
        let mut seen = Vec::new();
        while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
            seen.extend_from_slice(&buffer[..count]);
            if seen.windows(APPENDS.len()).any(|words| words == APPENDS) {
                appends.store(true, Ordering::SeqCst);
            }
            seen.drain(..seen.len().saturating_sub(APPENDS.len()));
            if to_server.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
    };
    let answers = async {
        let mut buffer = vec![0; 65_536];
        while let Ok(count @ 1..) = from_server.read(&mut buffer).await {
            let is_lost = appends.load(Ordering::SeqCst) && lost.load(Ordering::SeqCst);
            if !is_lost && to_client.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = asks => {}
        () = answers => {}
    }
}
