//! `update`.

use corten_api::container::{Resources, UpdateRequest};

use crate::{
    cli::Cli,
    command::{Arity, Command, Flag},
    error::{Error, Result},
    flags::Matches,
    opts::{limits, number, size},
};

/// `update`.
pub(crate) static COMMAND: Command = Command::new(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Change the limits of containers",
    update,
)
.paths(&["container update", "update"])
.arity(Arity::AtLeast(1))
.flags(&[FLAGS]);

static FLAGS: &[Flag] = &[
    Flag::value(
        "blkio-weight",
        "uint16",
        number::check_uint16,
        "Block I/O weight from 10 to 1000, 0 for none",
    )
    .shown("0"),
    Flag::int("cpu-period", "Period of the CFS scheduler in microseconds"),
    Flag::int("cpu-quota", "CPU time in each CFS period in microseconds"),
    Flag::int("cpu-rt-period", "Period of the real-time scheduler in microseconds"),
    Flag::int("cpu-rt-runtime", "Real-time CPU time in each period in microseconds"),
    Flag::int("cpu-shares", "CPU weight against other containers").short('c'),
    Flag::value("cpus", "decimal", number::check_cpus, "How many CPUs it may use"),
    Flag::string("cpuset-cpus", "CPUs it may run on (0-3, 0,1)"),
    Flag::string("cpuset-mems", "Memory nodes it may use (0-3, 0,1)"),
    Flag::value("memory", "bytes", size::check, "Most memory it may use").short('m'),
    Flag::value(
        "memory-reservation",
        "bytes",
        size::check,
        "Memory it is pushed back to when the host runs short",
    ),
    Flag::value(
        "memory-swap",
        "bytes",
        size::check_swap,
        "Most memory and swap together: '-1' for unlimited swap",
    ),
    Flag::int("pids-limit", "Most processes it may have (-1 for no limit)"),
    Flag::string("restart", "What to do when it exits"),
];

fn update(cli: &Cli, m: &Matches) -> Result<()> {
    if !FLAGS.iter().any(|f| m.given(f.long)) {
        return Err(Error::new("you must provide one or more flags when using this command"));
    }
    let request = request(m)?;
    cli.wait(async {
        let client = cli.client()?;
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        for name in &m.args {
            match client.update_container(name, &request).await {
                Ok(updated) => {
                    cli.out(name);
                    warnings.extend(updated.warnings.unwrap_or_default());
                }
                Err(error) => errors.push(Error::from(error)),
            }
        }
        if !warnings.is_empty() {
            cli.out(&warnings.join("\n"));
        }
        Error::all(errors)
    })
}

fn request(m: &Matches) -> std::result::Result<UpdateRequest, String> {
    let restart_policy = match m.get("restart") {
        "" => None,
        policy => Some(limits::parse_restart(policy)?),
    };
    Ok(UpdateRequest {
        resources: Resources {
            blkio_weight: u16::try_from(m.int("blkio-weight")).map_err(|e| e.to_string())?,
            cpu_period: m.int("cpu-period"),
            cpu_quota: m.int("cpu-quota"),
            cpu_realtime_period: m.int("cpu-rt-period"),
            cpu_realtime_runtime: m.int("cpu-rt-runtime"),
            cpu_shares: m.int("cpu-shares"),
            nano_cpus: if m.given("cpus") {
                number::parse_cpus(m.get("cpus"))?
            } else {
                0
            },
            cpuset_cpus: m.get("cpuset-cpus").to_owned(),
            cpuset_mems: m.get("cpuset-mems").to_owned(),
            memory: m.bytes("memory"),
            memory_reservation: m.bytes("memory-reservation"),
            memory_swap: if m.given("memory-swap") {
                size::parse_swap(m.get("memory-swap"))?
            } else {
                0
            },
            pids_limit: m.given("pids-limit").then(|| m.int("pids-limit")),
            ..Resources::default()
        },
        restart_policy,
    })
}
