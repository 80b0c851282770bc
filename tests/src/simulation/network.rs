//! Simulated sockets behind the seam.

use std::io;

use turmoil::net::{TcpListener, TcpStream};
use weir_runtime::{BoxFuture, BoxListener, BoxStream, Listener, Network};

/// turmoil's TCP. A partition eats segments, and nothing sends them again: whoever waits for an answer must bound it.
#[derive(Clone, Copy, Debug)]
pub(super) struct SimulatedNetwork;

impl Network for SimulatedNetwork {
    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<BoxStream>> {
        let address = address.to_owned();
        Box::pin(async move { Ok(Box::new(TcpStream::connect(address.as_str()).await?) as BoxStream) })
    }

    fn bind(&self, address: &str) -> BoxFuture<'static, io::Result<BoxListener>> {
        let address = address.to_owned();
        Box::pin(
            async move { Ok(Box::new(Simulated(TcpListener::bind(address.as_str()).await?)) as BoxListener) },
        )
    }
}

struct Simulated(TcpListener);

impl Listener for Simulated {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>> {
        Box::pin(async {
            let (stream, remote) = self.0.accept().await?;
            Ok((Box::new(stream) as BoxStream, remote.to_string()))
        })
    }

    fn local_address(&self) -> io::Result<String> {
        self.0.local_addr().map(|address| address.to_string())
    }
}
