//! Sockets: connected byte streams by address, real or simulated.

use std::future::Future;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// A boxed future, as trait objects need it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A connected, ordered byte stream.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// A stream of either world.
pub type BoxStream = Box<dyn Stream>;

/// A bound, listening address.
pub trait Listener: Send + 'static {
    /// The next connection and its remote address.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>>;
    /// The address it is bound to, with the port that was chosen if port 0 was asked for.
    fn local_address(&self) -> io::Result<String>;
}

/// A listener of either world.
pub type BoxListener = Box<dyn Listener>;

/// A network to connect and listen on. Addresses are `host:port`.
pub trait Network: Send + Sync + 'static {
    /// Connects to `address`. The caller bounds the wait.
    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<BoxStream>>;
    /// Listens on `address`.
    fn bind(&self, address: &str) -> BoxFuture<'static, io::Result<BoxListener>>;
}

/// TCP with Nagle's delay off.
#[derive(Clone, Copy, Debug)]
pub struct TcpNetwork;

impl Network for TcpNetwork {
    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<BoxStream>> {
        let address = address.to_owned();
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as BoxStream)
        })
    }

    fn bind(&self, address: &str) -> BoxFuture<'static, io::Result<BoxListener>> {
        let address = address.to_owned();
        Box::pin(async move { Ok(Box::new(Tcp(TcpListener::bind(address).await?)) as BoxListener) })
    }
}

struct Tcp(TcpListener);

impl Listener for Tcp {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>> {
        Box::pin(async {
            let (stream, remote) = self.0.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream) as BoxStream, remote.to_string()))
        })
    }

    fn local_address(&self) -> io::Result<String> {
        self.0.local_addr().map(|address| address.to_string())
    }
}
