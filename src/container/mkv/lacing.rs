//! Several frames in one block (RFC 9559, 10.3): how long each is.

use crate::container::Error;
use crate::container::bytes::Cursor;
use crate::container::mkv::ebml;

const XIPH: u8 = 1;
const FIXED: u8 = 2;
const EBML: u8 = 3;

/// The sizes of all frames but the last, which has what is left. Goes behind them.
pub(super) fn sizes(body: &mut Cursor<'_>, lacing: u8) -> Result<Vec<u64>, Error> {
    if lacing == 0 {
        return Ok(Vec::new());
    }
    let but_one = body.u8("a number of laced frames")?;
    match lacing {
        XIPH => (0..but_one).map(|_| xiph(body)).collect(),
        FIXED => fixed(body, but_one),
        EBML => differences(body, but_one),
        _ => Ok(Vec::new()),
    }
}

fn xiph(body: &mut Cursor<'_>) -> Result<u64, Error> {
    let mut size = 0;
    loop {
        let byte = body.u8("the size of a laced frame")?;
        size += u64::from(byte);
        if byte != 255 {
            return Ok(size);
        }
    }
}

fn fixed(body: &Cursor<'_>, but_one: u8) -> Result<Vec<u64>, Error> {
    let (all, count) = (body.left() as u64, u64::from(but_one) + 1);
    if all % count != 0 {
        return Err(body.bad("frames laced with one size do not fill their block"));
    }
    Ok(vec![all / count; usize::from(but_one)])
}

fn differences(body: &mut Cursor<'_>, but_one: u8) -> Result<Vec<u64>, Error> {
    let mut sizes = Vec::with_capacity(but_one.into());
    let mut size = 0_u64;
    for index in 0..but_one {
        let at = body.at();
        let (value, width) = ebml::vint(body)?;
        let middle = (1_u64 << (7 * width - 1)) - 1;
        let next = match index {
            0 => Some(value),
            _ => size.checked_add(value).and_then(|sum| sum.checked_sub(middle)),
        };
        size = next.ok_or(Error::bad(at, "the size of a laced frame is below 0"))?;
        sizes.push(size);
    }
    Ok(sizes)
}
