//! The two calls of the kernel that no safe wrapper offers.

#![expect(unsafe_code, reason = "an ioctl's argument must be of the type that its number stands for")]

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::ioctl::{Setter, ioctl};

/// `TUNSETIFF`: makes a file of `/dev/net/tun` an interface.
const TUN_SET_INTERFACE: rustix::ioctl::Opcode = 0x4004_54ca;
/// `IFF_TUN | IFF_NO_PI`: IP packets without a header of its own.
const IP_PACKETS: i16 = 0x1001;
/// `EXT4_IOC_SHUTDOWN`.
const EXT4_SHUTDOWN: rustix::ioctl::Opcode = 0x8004_587d;
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`: not even the journal's buffer is written.
const WITHOUT_LOG_FLUSH: u32 = 2;

/// The kernel's `struct ifreq`, as far as it is used.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}

/// Makes a TUN interface in the network namespace of the calling thread. Reads from what is returned are the packets
/// that were sent into it, and do not block.
pub(crate) fn open_tun(name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let tun = rustix::fs::open("/dev/net/tun", flags, Mode::empty())?;
    let mut request = InterfaceRequest { name: [0; 16], flags: IP_PACKETS, rest: [0; 22] };
    // The last byte stays zero: the kernel wants a text with an end.
    request.name.iter_mut().take(15).zip(name.bytes()).for_each(|(to, byte)| *to = byte);
    // SAFETY: TUNSETIFF reads a `struct ifreq`, which is what this is: 40 bytes, name first, flags behind it.
    unsafe { ioctl(&tun, Setter::<TUN_SET_INTERFACE, InterfaceRequest>::new(request)) }?;
    Ok(tun)
}

/// Stops a mounted ext4 file system as a power cut would: what was not synced is gone, and every later call fails.
pub(crate) fn shut_ext4_down(inside: impl AsFd) -> io::Result<()> {
    // SAFETY: EXT4_IOC_SHUTDOWN reads one u32.
    unsafe { ioctl(inside, Setter::<EXT4_SHUTDOWN, u32>::new(WITHOUT_LOG_FLUSH)) }?;
    Ok(())
}
