//! The list of files: its text, and how often an address gets it. An original client cannot prove
//! its address before it is sent a list, so that only counting keeps this from being a weapon.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::rc::Rc;

use crate::base::limits;
use crate::base::text::escaped;
use crate::base::time::Mono;
use crate::files::rate::over;

/// The names of the files, as they are listed: what would break the list or a terminal is escaped.
pub(super) fn text(names: &[Rc<str>]) -> String {
    let shown = names.iter().map(|name| escaped(name.as_bytes()).replace('#', "\\x23"));
    shown.collect::<Vec<_>>().join("#")
}

/// What may still be sent.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// Lists that an address has had of late, and since when.
    had: BTreeMap<IpAddr, (u64, Mono)>,
    /// Bytes that all together may have, reckoned then.
    left: Option<(u64, Mono)>,
}

impl Lists {
    /// Whether this address gets another list of so many bytes; if so it is counted.
    pub(super) fn may(&mut self, now: Mono, address: IpAddr, bytes: u64) -> bool {
        let most = limits::FILES_LIST_BYTES_MAX.max(bytes);
        let left = self.left.map_or(most, |(left, at)| {
            (left + over(limits::FILES_LIST_BYTES_MAX, now.since(at))).min(most)
        });
        if left < bytes || !self.count(now, address) {
            return false;
        }
        self.left = Some((left - bytes, now));
        true
    }

    fn count(&mut self, now: Mono, address: IpAddr) -> bool {
        if self.had.len() >= limits::FILES_ADDRESSES_MAX && !self.had.contains_key(&address) {
            self.had.retain(|_, (had, at)| now.since(*at).as_secs() < *had);
            if self.had.len() >= limits::FILES_ADDRESSES_MAX {
                return false;
            }
        }
        let (had, at) = self.had.entry(address).or_insert((0, now));
        let over = now.since(*at).as_secs();
        if over > 0 {
            (*had, *at) = (had.saturating_sub(over), now);
        }
        let may = *had < limits::FILES_LISTS_MAX;
        *had += u64::from(may);
        may
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn what_would_break_a_list_is_escaped() {
        let names = ["a b.mkv", "c#d.mp4", "e\nf\\.ts"].map(Rc::from);
        assert_eq!(text(&names), "a b.mkv#c\\x23d.mp4#e\\x0af\\\\.ts");
    }

    #[test]
    fn an_address_gets_a_few_lists_and_then_one_a_second() {
        let mut lists = Lists::default();
        let [one, other] = ["10.0.0.1", "10.0.0.2"].map(|a| a.parse().unwrap());
        let got = (0..100).filter(|_| lists.may(Mono(0), one, 100)).count();
        assert_eq!(got as u64, limits::FILES_LISTS_MAX);
        assert!(lists.may(Mono(0), other, 100));
        let later = Mono(0).after(Duration::from_secs(3));
        assert_eq!((0..100).filter(|_| lists.may(later, one, 100)).count(), 3);
    }

    #[test]
    fn all_together_get_no_more_than_so_many_bytes_a_second() {
        let mut lists = Lists::default();
        let (now, each) = (Mono(0), limits::FILES_LIST_BYTES_MAX / 4);
        let address = |n: u8| IpAddr::from([10, 0, 0, n]);
        assert_eq!((0..50).filter(|n| lists.may(now, address(*n), each)).count(), 4);
        let later = now.after(Duration::from_millis(500));
        assert_eq!((0..50).filter(|n| lists.may(later, address(*n), each)).count(), 2);
    }
}
