//! What the system lends this process: how many descriptors, and which networks its interfaces
//! are on. `daemon.rs` asks both at start and the networks again on reload.

use std::net::IpAddr;

use ipnet::IpNet;
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::SockaddrStorage;

use crate::base::limits;

/// Raises the soft limit of open descriptors to the hard one and returns what then holds, at
/// most [`limits::DESCRIPTORS_MAX`].
///
/// A refusal is no error: a unit's system call filter may forbid the change, and whoever set the
/// limit lower has chosen it.
#[must_use]
pub fn limit() -> usize {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1024, 1024));
    let raised = soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok();
    let held = if raised { hard } else { soft };
    usize::try_from(held).unwrap_or(usize::MAX).min(limits::DESCRIPTORS_MAX)
}

/// The networks that the interfaces which are up stand in, sorted, each once; for the rule
/// "directly attached" of `callback_allow`.
///
/// Empty when the system does not tell (a unit without `AF_NETLINK`): then nothing counts as
/// attached. A network that covers all addresses says nothing about distance and is left out.
#[must_use]
pub fn attached() -> Vec<IpNet> {
    let Ok(addresses) = getifaddrs() else { return Vec::new() };
    let up = addresses.filter(|a| a.flags.contains(InterfaceFlags::IFF_UP));
    let mut networks: Vec<IpNet> =
        up.flat_map(|a| [own(&a), far_end(&a)]).flatten().filter(|n| n.prefix_len() > 0).collect();
    networks.sort_unstable();
    networks.dedup();
    networks
}

/// The network of an interface's own address.
fn own(address: &InterfaceAddress) -> Option<IpNet> {
    let ip = ip_of(address.address.as_ref()?)?;
    let mask = ip_of(address.netmask.as_ref()?)?;
    IpNet::with_netmask(ip, mask).ok().map(|n| n.trunc())
}

/// The other end of a point-to-point link, which its own address's mask does not cover.
fn far_end(address: &InterfaceAddress) -> Option<IpNet> {
    ip_of(address.destination.as_ref()?).map(IpNet::from)
}

fn ip_of(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_raised_to_the_hard_one() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let held = limit();
        assert_eq!(held, usize::try_from(hard).unwrap().min(limits::DESCRIPTORS_MAX));
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap().0, hard);
        assert_eq!(limit(), held, "a second time changes nothing");
    }

    #[test]
    fn loopback_is_attached_and_the_whole_world_is_not() {
        let networks = attached();
        assert!(networks.contains(&"127.0.0.0/8".parse().unwrap()), "{networks:?}");
        assert!(networks.iter().all(|n| n.prefix_len() > 0), "{networks:?}");
        assert!(networks.windows(2).all(|w| w[0] < w[1]), "sorted, each once: {networks:?}");
    }
}
