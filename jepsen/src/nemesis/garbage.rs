//! Bytes that no client and no node sends.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::SmallRng;

use super::work::Work;
use crate::env::{Result, Seat};

/// How long a node may take to connect, to take bytes and to answer.
const PATIENCE: Duration = Duration::from_millis(500);
/// Connections that are held open and silent at most.
const HELD_MAX: usize = 32;
/// Pause between two connections.
const PAUSE: Duration = Duration::from_millis(20);
/// What every HTTP/2 connection begins with.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Malformed bytes to every port of the nodes, all the time; some connections are left open and silent.
pub(super) fn send(work: &mut Work<'_>) -> Result<()> {
    work.node()?;
    // This thread is the step's own: it may stay where it goes.
    work.site().enter(Seat::Observer)?;
    let addresses: Vec<SocketAddr> = work.nodes().iter().flat_map(|node| node.addresses()).collect();
    work.begin("");
    let end = Instant::now() + work.lasts();
    let mut held = Vec::new();
    let (mut sent, mut refused) = (0, 0);
    while Instant::now() < end && work.rest(PAUSE) {
        let address = addresses[work.dice.random_range(0..addresses.len())];
        let bytes = garbage(&mut work.dice);
        match offer(address, &bytes) {
            Ok(stream) if held.len() < HELD_MAX && work.dice.random_bool(0.1) => held.push(stream),
            Ok(mut stream) => {
                // Whatever it says is right, as long as it says or does something.
                let _ = stream.read(&mut [0; 1_024]);
            }
            Err(_) => refused += 1,
        }
        sent += 1;
    }
    work.end(format!("{sent} connections, {refused} refused or broken"));
    Ok(())
}

fn offer(address: SocketAddr, bytes: &[u8]) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(bytes)?;
    Ok(stream)
}

/// Something that begins more or less well and goes wrong.
fn garbage(dice: &mut SmallRng) -> Vec<u8> {
    let size = 1 << dice.random_range(0..17);
    let noise = |dice: &mut SmallRng, size: usize| -> Vec<u8> { (0..size).map(|_| dice.random()).collect() };
    match dice.random_range(0..6) {
        0 => noise(dice, size),
        // Lengths that promise more than anybody should take memory for.
        1 => [&u32::MAX.to_be_bytes()[..], &noise(dice, 64)].concat(),
        2 => [&0x00ff_ffff_u32.to_le_bytes()[..], &noise(dice, 64)].concat(),
        3 => [HTTP2, &noise(dice, size)].concat(),
        // A frame of HTTP/2: length, type, flags, stream; its bytes do not fit its type.
        4 => {
            let body = noise(dice, size.min(16_384));
            let length = (body.len() as u32).to_be_bytes();
            let head = [length[1], length[2], length[3], dice.random_range(0..12), dice.random(), 0, 0, 0, 1];
            [HTTP2, &[0, 0, 0, 4, 0, 0, 0, 0, 0], &head, &body].concat()
        }
        _ => {
            let path = noise(dice, size.min(8_192)).iter().map(|byte| b'a' + byte % 26).collect::<Vec<u8>>();
            [b"GET /", &path[..], b" HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n"].concat()
        }
    }
}
