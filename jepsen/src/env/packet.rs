//! IPv4 packets, as far as the link emulator reads and writes them.

use std::net::Ipv4Addr;

const IP_HEADER: usize = 20;
const TCP_HEADER: usize = 20;
const TCP: u8 = 6;
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// Where an IPv4 packet goes; None for anything else.
pub(crate) fn destination(packet: &[u8]) -> Option<Ipv4Addr> {
    if packet.len() < IP_HEADER || packet[0] >> 4 != 4 {
        return None;
    }
    Some(Ipv4Addr::new(packet[16], packet[17], packet[18], packet[19]))
}

/// The resets with which a packet of a TCP connection breaks it: one to its receiver, one to its sender. None when it is
/// no TCP packet, or a reset itself.
pub(crate) fn resets(packet: &[u8]) -> Option<[Vec<u8>; 2]> {
    let header = usize::from(packet.first()? & 15) * 4;
    if packet.get(9) != Some(&TCP) || packet.len() < header + TCP_HEADER {
        return None;
    }
    let (ip, tcp) = packet.split_at(header);
    let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    let flags = tcp[13];
    if flags & RST != 0 {
        return None;
    }
    let sequence = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
    let acked = u32::from_be_bytes([tcp[8], tcp[9], tcp[10], tcp[11]]);
    let payload = total.saturating_sub(header + usize::from(tcp[12] >> 4) * 4) as u32;
    let counted = payload + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
    let (source, target) = (&ip[12..16], &ip[16..20]);
    let forward = reset(source, target, &tcp[0..2], &tcp[2..4], sequence, acked);
    // What the other side would send next is what this side acknowledged; before that, zero and an acknowledgement.
    let next = if flags & ACK == 0 { 0 } else { acked };
    let back = reset(target, source, &tcp[2..4], &tcp[0..2], next, sequence.wrapping_add(counted));
    Some([forward, back])
}

fn reset(from: &[u8], to: &[u8], port_from: &[u8], port_to: &[u8], sequence: u32, acked: u32) -> Vec<u8> {
    let mut tcp = Vec::with_capacity(TCP_HEADER);
    tcp.extend_from_slice(port_from);
    tcp.extend_from_slice(port_to);
    tcp.extend_from_slice(&sequence.to_be_bytes());
    tcp.extend_from_slice(&acked.to_be_bytes());
    tcp.extend_from_slice(&[(TCP_HEADER as u8 / 4) << 4, RST | ACK, 0, 0, 0, 0, 0, 0]);
    let pseudo = [from, to, &[0, TCP, 0, TCP_HEADER as u8]].concat();
    let sum = checksum(&[&pseudo, &tcp]);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    let mut ip = vec![0x45, 0, 0, (IP_HEADER + TCP_HEADER) as u8, 0, 0, 0x40, 0, 64, TCP, 0, 0];
    ip.extend_from_slice(from);
    ip.extend_from_slice(to);
    let sum = checksum(&[&ip]);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    [ip, tcp].concat()
}

/// The checksum of RFC 1071 over parts of even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks_exact(2));
    let mut sum: u32 = words.map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    #[test]
    fn a_reset_of_a_connection_request_acknowledges_it_and_sums_up() {
        let ask = reset(&[10, 78, 0, 1], &[10, 78, 0, 2], &[0, 80], &[31, 144], 7, 0);
        let mut ask = ask;
        ask[33] = SYN;
        let [_, back] = resets(&ask).unwrap();
        assert_eq!(destination(&back), Some(Ipv4Addr::new(10, 78, 0, 1)));
        assert_eq!(&back[20..24], [31, 144, 0, 80]);
        assert_eq!((&back[24..28], &back[28..32]), (&[0; 4][..], &[0, 0, 0, 8][..]));
        assert_eq!(checksum(&[&back[..20]]), 0, "a header with its checksum sums to nothing");
        let pseudo = [&back[12..20], &[0, TCP, 0, 20][..]].concat();
        assert_eq!(checksum(&[&pseudo, &back[20..]]), 0);
        assert_eq!(resets(&back), None, "a reset is not answered");
    }
}
