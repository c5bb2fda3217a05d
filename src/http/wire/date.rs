//! Dates of HTTP (RFC 9110, 5.6.7): written as `Sun, 06 Nov 1994 08:49:37 GMT`, read in that form
//! and in the two old ones. Knows no clock.

use crate::base::time::Wall;

const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A moment, to the second below it.
#[must_use]
pub fn date(at: Wall) -> String {
    let (days, of_day) = (at.seconds().div_euclid(86_400), at.seconds().rem_euclid(86_400));
    let (year, month, day) = civil(days);
    // Day 0, 1970-01-01, was a Thursday.
    let weekday = &WEEKDAYS[index((days + 3).rem_euclid(7))][..3];
    let (h, m, s) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{weekday}, {day:02} {} {year:04} {h:02}:{m:02}:{s:02} GMT", MONTHS[index(month)])
}

/// Seconds since 1970 of a date in any of the three forms; none for anything else.
#[must_use]
pub fn parse_date(text: &str) -> Option<i64> {
    let mut words = text.split(' ').filter(|word| !word.is_empty());
    let weekday = words.next()?;
    let (day, month, year, clock) = match weekday.strip_suffix(',') {
        None => {
            let (month, day, clock) = (words.next()?, words.next()?, words.next()?);
            known_weekday(weekday)?;
            (day, month, four_digits(words.next()?)?, clock)
        }
        Some(weekday) => {
            known_weekday(weekday)?;
            let (day, month, year) = day_month_year(&mut words)?;
            let clock = words.next()?;
            words.next().filter(|zone| *zone == "GMT")?;
            (day, month, year, clock)
        }
    };
    let month = MONTHS.iter().position(|name| *name == month)?;
    let day = number(day, 31).filter(|day| *day >= 1)?;
    words.next().is_none().then_some(())?;
    Some(days(year, i64::try_from(month).ok()?, day) * 86_400 + seconds_of(clock)?)
}

/// `06 Nov 1994`, or `06-Nov-94` as RFC 850 had it.
fn day_month_year<'a>(
    words: &mut impl Iterator<Item = &'a str>,
) -> Option<(&'a str, &'a str, i64)> {
    let first = words.next()?;
    let Some((day, rest)) = first.split_once('-') else {
        return Some((first, words.next()?, four_digits(words.next()?)?));
    };
    let (month, year) = rest.split_once('-')?;
    // Two digits: the century that does not lie far ahead. Nothing here is older than 1970.
    let year = number(year, 99).filter(|_| year.len() == 2)?;
    Some((day, month, if year < 70 { 2000 + year } else { 1900 + year }))
}

fn known_weekday(word: &str) -> Option<()> {
    WEEKDAYS.iter().any(|name| word == *name || word == &name[..3]).then_some(())
}

fn four_digits(word: &str) -> Option<i64> {
    number(word, 9999).filter(|_| word.len() == 4)
}

/// `08:49:37`; a 60th second is counted as the next minute's first.
fn seconds_of(clock: &str) -> Option<i64> {
    let mut parts = clock.split(':');
    let mut part = |max| number(parts.next().filter(|p| p.len() == 2)?, max);
    let seconds = part(23)? * 3600 + part(59)? * 60 + part(60)?;
    parts.next().is_none().then_some(seconds)
}

fn number(word: &str, max: i64) -> Option<i64> {
    let digits = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
    word.parse().ok().filter(|value| digits && *value <= max)
}

/// Year, month from 0 and day of a day number, proleptic Gregorian. Years begin in March here, so
/// that the leap day is a year's last.
fn civil(days: i64) -> (i64, i64, i64) {
    let from_march = days + 719_468;
    let (era, of_era) = (from_march.div_euclid(146_097), from_march.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    (era * 400 + year + i64::from(month >= 10), (month + 2) % 12, day)
}

/// The inverse of [`civil`]; a day past the month's end is one of the next month.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month < 2 { (year - 1, month + 10) } else { (year, month - 2) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn index(small: i64) -> usize {
    usize::try_from(small).expect("weekdays and months are remainders, never negative")
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: i64 = 784_111_777;

    fn wall(seconds: i64) -> Wall {
        Wall(seconds * 1_000_000_000)
    }

    #[test]
    fn the_example_of_the_rfc_reads_the_same_in_its_three_forms() {
        assert_eq!(date(wall(EXAMPLE)), "Sun, 06 Nov 1994 08:49:37 GMT");
        for form in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(parse_date(form), Some(EXAMPLE), "{form}");
        }
    }

    #[test]
    fn every_day_of_five_centuries_is_written_as_the_calendar_has_it() {
        let leap = |y: i64| y % 4 == 0 && (y % 100 != 0 || y % 400 == 0);
        let (mut day_number, mut weekday) = (days(1700, 0, 1), 4); // a Friday
        for year in 1700..2200 {
            let february = if leap(year) { 29 } else { 28 };
            let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            for (name, length) in MONTHS.iter().zip(lengths) {
                for day in 1..=length {
                    let text =
                        format!("{}, {day:02} {name} {year} 00:00:00 GMT", &WEEKDAYS[weekday][..3]);
                    assert_eq!(date(wall(day_number * 86_400)), text);
                    assert_eq!(parse_date(&text), Some(day_number * 86_400));
                    (day_number, weekday) = (day_number + 1, (weekday + 1) % 7);
                }
            }
        }
    }

    #[test]
    fn what_is_not_a_date_is_none() {
        for text in [
            "",
            "Sun",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT more",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Noday, 06 Nov 1994 08:49:37 GMT",
            "99999999999999999999",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }
}
