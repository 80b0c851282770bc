//! What a host's software sees of the network.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::HostId;
use super::net::{EndId, Net, Port};

/// One end of a connection.
pub(in super::super) struct TcpStream {
    net: Net,
    end: EndId,
}

/// A port that is listened on.
pub(in super::super) struct TcpListener {
    net: Net,
    place: (HostId, u16),
}

impl Net {
    /// Connects a host to `host:port`. Takes for ever while nobody can be reached.
    pub(in super::super) async fn connect(&self, from: HostId, address: &str) -> io::Result<TcpStream> {
        let (name, port) = parse(address)?;
        let end = self.with(|state| {
            let to = state.host_named(name)?;
            Some(state.connect(from, to, port))
        });
        let end = end.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no host `{name}`")))?;
        let stream = TcpStream { net: self.clone(), end };
        poll_fn(|context| stream.poll_connected(context)).await?;
        Ok(stream)
    }

    /// Listens on a port of a host.
    pub(in super::super) fn bind(&self, host: HostId, address: &str) -> io::Result<TcpListener> {
        let (_, port) = parse(address)?;
        let place = (host, port);
        let fresh = self.with(|state| state.ports.insert(place, Port::default()).is_none());
        if fresh {
            Ok(TcpListener { net: self.clone(), place })
        } else {
            Err(io::ErrorKind::AddrInUse.into())
        }
    }
}

fn parse(address: &str) -> io::Result<(&str, u16)> {
    let parts = address.split_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    parts.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("`{address}` is no address")))
}

impl TcpListener {
    /// The next connection, and who made it.
    pub(in super::super) async fn accept(&self) -> (TcpStream, String) {
        let (end, remote) = poll_fn(|context| {
            self.net.with(|state| {
                let Some(port) = state.ports.get_mut(&self.place) else { return Poll::Pending };
                let Some(end) = port.queue.pop_front() else {
                    port.listener = Some(context.waker().clone());
                    return Poll::Pending;
                };
                let from = state.ends.get(&end).map_or(self.place.0, |end| end.peer_host);
                Poll::Ready((end, format!("{}:{end}", state.name(from))))
            })
        })
        .await;
        (TcpStream { net: self.net.clone(), end }, remote)
    }

    /// Where it listens.
    pub(in super::super) fn local_address(&self) -> String {
        self.net.with(|state| format!("{}:{}", state.name(self.place.0), self.place.1))
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        self.net.with(|state| {
            let port = state.ports.remove(&self.place).unwrap_or_default();
            port.queue.into_iter().for_each(|end| state.close(end));
        });
    }
}

impl TcpStream {
    fn poll_connected(&self, context: &Context<'_>) -> Poll<io::Result<()>> {
        self.net.with(|state| {
            let Some(end) = state.ends.get_mut(&self.end) else { return Poll::Ready(Err(broken())) };
            if end.refused || end.reset {
                return Poll::Ready(Err(io::ErrorKind::ConnectionRefused.into()));
            }
            if end.peer.is_some() {
                return Poll::Ready(Ok(()));
            }
            end.reader = Some(context.waker().clone());
            Poll::Pending
        })
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        self.net.with(|state| state.close(self.end));
    }
}

fn broken() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl AsyncRead for TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.net.with(|state| {
            let Some(end) = state.ends.get_mut(&self.end) else { return Poll::Ready(Err(broken())) };
            if end.reset {
                return Poll::Ready(Err(broken()));
            }
            let mut read = 0;
            while into.remaining() > 0
                && let Some(mut bytes) = end.inbox.pop_front()
            {
                let part = bytes.split_to(bytes.len().min(into.remaining()));
                into.put_slice(&part);
                read += part.len();
                if !bytes.is_empty() {
                    end.inbox.push_front(bytes);
                }
            }
            if read == 0 && !end.finished && into.remaining() > 0 {
                end.reader = Some(context.waker().clone());
                return Poll::Pending;
            }
            state.has_read(self.end, read);
            Poll::Ready(Ok(()))
        })
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        self.net.with(|state| {
            let Some(end) = state.ends.get_mut(&self.end) else { return Poll::Ready(Err(broken())) };
            if end.reset || end.closed {
                return Poll::Ready(Err(broken()));
            }
            if !end.has_room() {
                end.writer = Some(context.waker().clone());
                return Poll::Pending;
            }
            state.send_bytes(self.end, from);
            Poll::Ready(Ok(from.len()))
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.net.with(|state| state.finish(self.end));
        Poll::Ready(Ok(()))
    }
}
