//! Connections between nodes: hellos, frames, messages.

use weir_consensus::fuzzing::{Connection, connection, framed, messages};

use crate::input::Input;

/// Bytes on a connection are frames or an error, never a panic; messages that decode are encoded to the same again.
pub fn law(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.u8();
    let kind = match choice & 3 {
        0 => Connection::Accepted,
        1 => Connection::Dialled,
        2 => Connection::Lane,
        _ => return messages(input.rest()),
    };
    match choice >> 2 & 3 {
        0 => connection(kind, input.rest()),
        // Frames whose length and checksum are right; on a lane, the length of their head too.
        _ => {
            let mut bytes = Vec::new();
            while !input.is_empty() {
                let body = if kind == Connection::Lane {
                    let items = input.sized();
                    [&(items.len() as u32).to_le_bytes()[..], items, input.sized()].concat()
                } else {
                    input.sized().to_vec()
                };
                bytes.extend(framed(&body));
            }
            connection(kind, &bytes);
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    // A hello of version 1: the peer (cluster 1, node 2, incarnation 22) to node 1, on the data lane.
    let hello = [1, 1, 2, 22, 1, 0];
    // Accepted by that peer.
    let welcome = [0, 1, 2, 22];
    // A ping; an append of one entry of three bytes.
    let ping = [1, 0, 5, 0];
    let append = [1, 0, 6, 1, 9, 2, 3, 2, 1, 1, 3, 8, 1, 3, 8, 1, 3, 1, 3];
    let lane = |items: &[u8], payload: &[u8]| {
        [&[2 | 4, items.len() as u8], items, &[payload.len() as u8], payload].concat()
    };
    vec![
        [&[0], &framed(&hello)[..]].concat(),
        [&[4, hello.len() as u8], &hello[..]].concat(),
        [&[5, welcome.len() as u8], &welcome[..]].concat(),
        lane(&ping, b""),
        lane(&append, b"abc"),
        [&[3], &ping[..]].concat(),
        [&[3], &append[..]].concat(),
        vec![3, 9, 2, 3, 2, 1, 0, 0, 0, 0],
    ]
}
