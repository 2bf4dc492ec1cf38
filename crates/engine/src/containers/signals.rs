//! Signals by name and number (`signal(7)`).

/// Names without `SIG`, by number from 1 (x86 and Arm).
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO",
    "PWR", "SYS",
];
/// The first real-time signal as the C library counts.
const RTMIN: i32 = 34;
/// The last signal.
const RTMAX: i32 = 64;
/// `SIGKILL`.
pub(crate) const KILL: i32 = 9;
/// `SIGTERM`.
pub(crate) const TERM: i32 = 15;

/// Reads a number or a name, with or without `SIG`, in any case.
pub(crate) fn parse(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=RTMAX).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let number = match name {
        "IOT" => Some(6),
        "CLD" => Some(17),
        "POLL" => Some(29),
        "RTMIN" => Some(RTMIN),
        "RTMAX" => Some(RTMAX),
        _ => None,
    };
    let real_time = || {
        let plus = name
            .strip_prefix("RTMIN+")
            .and_then(|n| n.parse::<i32>().ok())
            .map(|n| RTMIN + n);
        let minus = name
            .strip_prefix("RTMAX-")
            .and_then(|n| n.parse::<i32>().ok())
            .map(|n| RTMAX - n);
        plus.or(minus).filter(|n| (RTMIN..=RTMAX).contains(n))
    };
    let by_name = || {
        NAMES
            .iter()
            .position(|known| *known == name)
            .and_then(|index| i32::try_from(index + 1).ok())
    };
    number.or_else(by_name).or_else(real_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_and_numbers() {
        let check = |text, expected| assert_eq!(parse(text), expected, "{text}");
        check("9", Some(9));
        check("KILL", Some(9));
        check("sigterm", Some(15));
        check("SIGRTMIN+3", Some(37));
        check("RTMAX-2", Some(62));
        check("SIGWINCH", Some(28));
        check("0", None);
        check("65", None);
        check("NOPE", None);
        check("RTMIN+99", None);
    }
}
