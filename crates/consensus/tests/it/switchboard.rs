//! A network whose links can be cut (connections between two nodes break, and new ones are refused) or frozen
//! (connections stay, and nothing comes through), all lanes or one kind of them. Snapshots can be held up midway.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, copy_bidirectional, duplex};
use tokio::sync::watch;
use weir_runtime::{BoxFuture, BoxListener, BoxStream, Network, TcpNetwork};

/// The kinds of lanes that can be frozen alone, by their numbers in a hello.
#[derive(Clone, Copy)]
pub(crate) enum Lane {
    Data = 0,
    Control = 1,
}

#[derive(Default)]
pub(crate) struct Switchboard {
    cut: watch::Sender<BTreeSet<(u64, u64)>>,
    frozen: watch::Sender<BTreeSet<(u64, u64)>>,
    /// The same of data and control lanes alone.
    muted: [watch::Sender<BTreeSet<(u64, u64)>>; 2],
    /// How often the data connections that there were then died without a word.
    deaths: watch::Sender<u64>,
    /// Bytes that a snapshot connection lets through before it is held up.
    snapshot_bytes: watch::Sender<Option<u64>>,
    /// Snapshots that were held up so far, each with as many bytes through.
    held_up: watch::Sender<u64>,
    /// Whether a snapshot's receiver is heard no more once it has accepted the offer.
    receivers_silent: watch::Sender<bool>,
    /// Receivers that have sent what nobody will hear, so far.
    silenced: watch::Sender<u64>,
    addresses: Mutex<BTreeMap<String, u64>>,
}

impl Switchboard {
    pub(crate) fn register(&self, address: &str, node: u64) {
        self.addresses.lock().insert(address.to_owned(), node);
    }

    pub(crate) fn cut(&self, a: u64, b: u64) {
        self.cut.send_if_modified(|cut| cut.insert((a.min(b), a.max(b))));
    }

    pub(crate) fn freeze(&self, a: u64, b: u64) {
        self.frozen.send_if_modified(|frozen| frozen.insert((a.min(b), a.max(b))));
    }

    /// Freezes lanes of one kind between two nodes, whoever made the connection.
    pub(crate) fn mute(&self, lane: Lane, a: u64, b: u64) {
        self.muted[lane as usize].send_if_modified(|muted| muted.insert((a.min(b), a.max(b))));
    }

    /// The data connections that there are now carry nothing any more, and nobody is told; new ones work.
    pub(crate) fn let_data_connections_die(&self) {
        self.deaths.send_modify(|count| *count += 1);
    }

    /// Holds up every snapshot after `bytes`, without breaking its connection; none lets them pass again.
    pub(crate) fn hold_snapshots_after(&self, bytes: Option<u64>) {
        self.snapshot_bytes.send_replace(bytes);
    }

    /// Waits until a snapshot is held up midway.
    pub(crate) async fn snapshot_held_up(&self) {
        let mut held_up = self.held_up.subscribe();
        let seen = held_up.wait_for(|count| *count > 0);
        tokio::time::timeout(std::time::Duration::from_secs(20), seen).await.unwrap().unwrap();
        self.held_up.send_replace(0);
    }

    /// Snapshots go through whole, and their senders hear nothing of it: as when the receiver's machine loses its power
    /// while it installs.
    pub(crate) fn silence_receivers(&self, silent: bool) {
        self.receivers_silent.send_replace(silent);
    }

    /// Waits until a receiver has said in vain that it is installing, or has installed.
    pub(crate) async fn receiver_silenced(&self) {
        let mut silenced = self.silenced.subscribe();
        silenced.wait_for(|count| *count > 0).await.unwrap();
    }

    pub(crate) fn heal(&self) {
        self.cut.send_modify(BTreeSet::clear);
        self.frozen.send_modify(BTreeSet::clear);
        for muted in &self.muted {
            muted.send_modify(BTreeSet::clear);
        }
    }
}

/// The network as one node sees it.
pub(crate) struct NodeNetwork {
    pub(crate) node: u64,
    pub(crate) board: Arc<Switchboard>,
}

impl Network for NodeNetwork {
    fn connect(&self, address: &str) -> BoxFuture<'static, io::Result<BoxStream>> {
        let (board, address) = (Arc::clone(&self.board), address.to_owned());
        let peer = board.addresses.lock().get(&address).copied().unwrap_or_default();
        let link = (self.node.min(peer), self.node.max(peer));
        Box::pin(async move {
            let mut cut = board.cut.subscribe();
            if cut.borrow().contains(&link) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let mut stream = TcpNetwork.connect(&address).await?;
            let (near, mut far) = duplex(256 << 10);
            let mut frozen = board.frozen.subscribe();
            tokio::spawn(async move {
                tokio::select! {
                    _ = while_thawed(carry(&mut stream, &mut far, &board, link), &mut frozen, link) => {}
                    _ = cut.wait_for(|cut| cut.contains(&link)) => {}
                }
            });
            Ok(Box::new(near) as BoxStream)
        })
    }

    fn bind(&self, address: &str) -> BoxFuture<'static, io::Result<BoxListener>> {
        TcpNetwork.bind(address)
    }
}

/// Runs `future`, but not while `link` is frozen.
async fn while_thawed<T>(
    future: impl Future<Output = T>,
    frozen: &mut watch::Receiver<BTreeSet<(u64, u64)>>,
    link: (u64, u64),
) -> Option<T> {
    tokio::pin!(future);
    loop {
        frozen.wait_for(|frozen| !frozen.contains(&link)).await.ok()?;
        tokio::select! {
            biased;
            froze = frozen.wait_for(|frozen| frozen.contains(&link)) => drop(froze.ok()?),
            output = &mut future => return Some(output),
        }
    }
}

/// Before a frame's content: its length and checksum.
const FRAME_PREFIX: usize = 8;
/// The answers on a snapshot connection before the snapshot itself: to the hello and to the offer.
const ANSWERS_BEFORE: usize = 2;
/// What the hello of such a connection ends with.
const LANE_SNAPSHOT: u8 = 2;

/// Copies both ways; what a dialer sends on a snapshot connection as far as the board lets it.
async fn carry(
    stream: &mut BoxStream,
    far: &mut DuplexStream,
    board: &Switchboard,
    link: (u64, u64),
) -> io::Result<()> {
    let hello = read_frame(far).await?;
    stream.write_all(&hello).await?;
    let lane = *hello.last().unwrap();
    if lane != LANE_SNAPSHOT {
        let mut muted = board.muted[usize::from(lane)].subscribe();
        let mut deaths = board.deaths.subscribe();
        tokio::select! {
            copied = while_thawed(copy_bidirectional(stream, far), &mut muted, link) => copied.transpose()?,
            _ = deaths.changed(), if lane == Lane::Data as u8 => std::future::pending().await,
        };
        return Ok(());
    }
    let (mut from_acceptor, mut to_acceptor) = tokio::io::split(stream);
    let (mut from_dialer, mut to_dialer) = tokio::io::split(far);
    let forth = async {
        let mut allowed = board.snapshot_bytes.subscribe();
        let limit = *allowed.borrow_and_update();
        if let Some(bytes) = limit {
            let passed = tokio::io::copy(&mut (&mut from_dialer).take(bytes), &mut to_acceptor).await?;
            // A snapshot shorter than the limit is not held up, and whoever waits for that notices.
            if passed == bytes {
                to_acceptor.flush().await?;
                board.held_up.send_modify(|count| *count += 1);
                let _ = allowed.wait_for(Option::is_none).await;
            }
        }
        tokio::io::copy(&mut from_dialer, &mut to_acceptor).await
    };
    let back = async {
        if *board.receivers_silent.borrow() {
            for _ in 0..ANSWERS_BEFORE {
                let answer = read_frame(&mut from_acceptor).await?;
                to_dialer.write_all(&answer).await?;
            }
            let _unheard = read_frame(&mut from_acceptor).await;
            board.silenced.send_modify(|count| *count += 1);
            std::future::pending::<()>().await;
        }
        tokio::io::copy(&mut from_acceptor, &mut to_dialer).await
    };
    tokio::select! {
        copied = forth => copied?,
        copied = back => copied?,
    };
    Ok(())
}

async fn read_frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut frame = vec![0; FRAME_PREFIX];
    from.read_exact(&mut frame).await?;
    let length = u32::from_le_bytes(frame[..4].try_into().unwrap()) as usize;
    frame.resize(FRAME_PREFIX + length, 0);
    from.read_exact(&mut frame[FRAME_PREFIX..]).await?;
    Ok(frame)
}
