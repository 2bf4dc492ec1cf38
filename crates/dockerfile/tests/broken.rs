//! Broken Dockerfiles, and what is said of each: the line, and what was expected.

use corten_dockerfile::Dockerfile;

/// What is wrong with a file: its message, and the line.
fn said(file: &str) -> String {
    match Dockerfile::parse(file.as_bytes()) {
        Ok(_) => "nothing".to_owned(),
        Err(error) => {
            let lines = error
                .lines()
                .map_or_else(String::new, |lines| format!("{}: ", lines.first));
            let message = error.to_string();
            let parse = format!(
                "dockerfile parse error on line {}: ",
                error.lines().map_or(0, |lines| lines.first)
            );
            format!("{lines}{}", message.strip_prefix(&parse).unwrap_or(&message))
        }
    }
}

/// Each of these stands on the second line, below `FROM a`.
const INSTRUCTIONS: &[(&str, &str)] = &[
    // Names that are none.
    ("RUNN x", "unknown instruction: RUNN (did you mean RUN?)"),
    ("rn x", "unknown instruction: RN (did you mean RUN?)"),
    ("COPPY a b", "unknown instruction: COPPY (did you mean COPY?)"),
    (
        "ENTRYPONT x",
        "unknown instruction: ENTRYPONT (did you mean ENTRYPOINT?)",
    ),
    ("WORKDIRR /a", "unknown instruction: WORKDIRR (did you mean WORKDIR?)"),
    ("EXPOS 80", "unknown instruction: EXPOS (did you mean EXPOSE?)"),
    (
        "HEALTCHECK NONE",
        "unknown instruction: HEALTCHECK (did you mean HEALTHCHECK?)",
    ),
    ("LABL a=b", "unknown instruction: LABL (did you mean LABEL?)"),
    ("VOLUMES /a", "unknown instruction: VOLUMES (did you mean VOLUME?)"),
    (
        "STOPSIGNL 9",
        "unknown instruction: STOPSIGNL (did you mean STOPSIGNAL?)",
    ),
    (
        "ONBUILDD RUN x",
        "unknown instruction: ONBUILDD (did you mean ONBUILD?)",
    ),
    ("EVN a=b", "unknown instruction: EVN (did you mean ENV?)"),
    ("USR me", "unknown instruction: USR (did you mean USER?)"),
    ("AGR a", "unknown instruction: AGR (did you mean ADD?)"),
    ("INCLUDE x", "unknown instruction: INCLUDE"),
    ("--help", "unknown instruction: --HELP"),
    ("{", "unknown instruction: {"),
    // Too little.
    ("RUN", "RUN requires at least one argument"),
    (
        "COPY",
        "COPY requires at least two arguments, but only one was provided. Destination could not be determined",
    ),
    (
        "COPY a",
        "COPY requires at least two arguments, but only one was provided. Destination could not be determined",
    ),
    (
        "COPY --from=x a",
        "COPY requires at least two arguments, but only one was provided. Destination could not be determined",
    ),
    (
        "COPY [\"a\"]",
        "COPY requires at least two arguments, but only one was provided. Destination could not be determined",
    ),
    (
        "ADD",
        "ADD requires at least two arguments, but only one was provided. Destination could not be determined",
    ),
    (
        "ADD http://x/y",
        "ADD requires at least two arguments, but only one was provided. Destination could not be determined",
    ),
    ("ENV", "ENV requires at least one argument"),
    ("ENV a", "ENV must have two arguments"),
    ("LABEL", "LABEL requires at least one argument"),
    ("LABEL a", "LABEL must have two arguments"),
    ("ARG", "ARG requires at least one argument"),
    ("EXPOSE", "EXPOSE requires at least one argument"),
    ("USER", "USER requires exactly one argument"),
    ("WORKDIR", "WORKDIR requires exactly one argument"),
    ("VOLUME", "VOLUME requires at least one argument"),
    ("VOLUME [\"\"]", "VOLUME specified can not be an empty string"),
    ("STOPSIGNAL", "STOPSIGNAL requires exactly one argument"),
    ("SHELL", "SHELL requires at least one argument"),
    ("SHELL []", "SHELL requires at least one argument"),
    ("SHELL bash -c", "SHELL requires the arguments to be in JSON form"),
    ("SHELL ['bash']", "SHELL requires the arguments to be in JSON form"),
    ("MAINTAINER", "MAINTAINER requires exactly one argument"),
    ("ENTRYPOINT", "ENTRYPOINT requires at least one argument"),
    ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
    ("ONBUILD", "ONBUILD requires at least one argument"),
    ("FROM", "FROM requires either one or three arguments"),
    ("FROM a b", "FROM requires either one or three arguments"),
    ("FROM a AS", "FROM requires either one or three arguments"),
    ("FROM a AS b c", "FROM requires either one or three arguments"),
    ("FROM a IS b", "FROM requires either one or three arguments"),
    // Names and values.
    (
        "FROM a AS 1x",
        "invalid name for build stage: \"1x\", name can't start with a number or contain symbols",
    ),
    (
        "FROM a AS x/y",
        "invalid name for build stage: \"x/y\", name can't start with a number or contain symbols",
    ),
    (
        "FROM a AS $x",
        "invalid name for build stage: \"$x\", name can't start with a number or contain symbols",
    ),
    ("ENV =x", "ENV names can not be blank"),
    (
        "ENV a=b c",
        "Syntax error - can't find = in \"c\". Must be of the form: name=value",
    ),
    ("ENV a=b =c", "ENV names can not be blank"),
    ("LABEL =x", "LABEL names can not be blank"),
    (
        "LABEL a=1 b",
        "Syntax error - can't find = in \"b\". Must be of the form: name=value",
    ),
    ("ARG =x", "ARG names can not be blank"),
    // Flags.
    ("COPY --nosuch a b", "unknown flag: --nosuch"),
    ("COPY --frm=a b c", "unknown flag: --frm (did you mean from?)"),
    ("COPY --chwon=a b c", "unknown flag: --chwon (did you mean chown?)"),
    ("COPY --from a b", "missing a value on flag: from"),
    ("COPY --from=a --from=b c d", "duplicate flag specified: from"),
    (
        "COPY --link=maybe a b",
        "expecting boolean value for flag link, not: maybe",
    ),
    ("COPY --checksum=x a b", "unknown flag: --checksum"),
    ("COPY --keep-git-dir a b", "unknown flag: --keep-git-dir"),
    ("ADD --from=x a b", "unknown flag: --from"),
    ("ADD --parents a b", "unknown flag: --parents"),
    (
        "ADD --chekcsum=x a b",
        "unknown flag: --chekcsum (did you mean checksum?)",
    ),
    ("ADD --unpack=x a b", "expecting boolean value for flag unpack, not: x"),
    ("RUN --mont=type=bind x", "unknown flag: --mont (did you mean mount?)"),
    ("RUN --mount x", "missing a value on flag: mount"),
    (
        "RUN --network=hots x",
        "unsupported network mode \"hots\" (did you mean host?)",
    ),
    (
        "RUN --network=none --network=none x",
        "duplicate flag specified: network",
    ),
    ("RUN --security=none x", "unsupported security mode \"none\""),
    (
        "RUN --security=insecur x",
        "unsupported security mode \"insecur\" (did you mean insecure?)",
    ),
    ("RUN --from=x y", "unknown flag: --from"),
    (
        "FROM --platfrom=x a",
        "unknown flag: --platfrom (did you mean platform?)",
    ),
    ("FROM --platform a", "missing a value on flag: platform"),
    ("ENV --x=y a=b", "unknown flag: --x"),
    ("WORKDIR --x /", "unknown flag: --x"),
    ("EXPOSE --x 80", "unknown flag: --x"),
    ("USER --x me", "unknown flag: --x"),
    ("CMD --x y", "unknown flag: --x"),
    (
        "HEALTHCHECK --intervall=1s CMD x",
        "unknown flag: --intervall (did you mean interval?)",
    ),
    // Mounts.
    (
        "RUN --mount=type=bnd,target=/x y",
        "unsupported mount type \"bnd\" (did you mean bind?)",
    ),
    (
        "RUN --mount=type=cach,target=/x y",
        "unsupported mount type \"cach\" (did you mean cache?)",
    ),
    (
        "RUN --mount=type=secrets y",
        "unsupported mount type \"secrets\" (did you mean secret?)",
    ),
    (
        "RUN --mount=type=volume,target=/x y",
        "unsupported mount type \"volume\"",
    ),
    (
        "RUN --mount=type=bind,taget=/x y",
        "unexpected key 'taget' for mount type \"bind\" (did you mean target?)",
    ),
    (
        "RUN --mount=type=bind,sharing=x,target=/x y",
        "unexpected key 'sharing' for mount type \"bind\"",
    ),
    (
        "RUN --mount=type=cache,target=/x,env=A y",
        "unexpected key 'env' for mount type \"cache\"",
    ),
    (
        "RUN --mount=type=tmpfs,target=/x,id=a y",
        "unexpected key 'id' for mount type \"tmpfs\"",
    ),
    ("RUN --mount=type=cache y", "a mount of type \"cache\" needs target=…"),
    ("RUN --mount=type=tmpfs y", "a mount of type \"tmpfs\" needs target=…"),
    ("RUN --mount=type=bind y", "a mount of type \"bind\" needs target=…"),
    (
        "RUN --mount=type=secret y",
        "a mount of type \"secret\" needs id=… or target=…",
    ),
    (
        "RUN --mount=type=cache,target=/x,sharing=lokced y",
        "unsupported sharing mode \"lokced\" (did you mean locked?)",
    ),
    (
        "RUN --mount=type=cache,target=/x,sharing=all y",
        "unsupported sharing mode \"all\"",
    ),
    (
        "RUN --mount=type=cache,target=/x,mode=9 y",
        "invalid value 9 for mode, which is a number",
    ),
    (
        "RUN --mount=type=cache,target=/x,uid=me y",
        "invalid value me for uid, which is a number",
    ),
    (
        "RUN --mount=type=secret,id=x,gid=-1 y",
        "invalid value -1 for gid, which is a number",
    ),
    (
        "RUN --mount=type=secret,id=x,required=maybe y",
        "invalid value for required: maybe",
    ),
    ("RUN --mount=type=tmpfs,target=/x,size=big y", "invalid size: 'big'"),
    ("RUN --mount=type=tmpfs,target=/x,size=1x y", "invalid size: '1x'"),
    (
        "RUN --mount=type=bind,target=/x,rw=perhaps y",
        "invalid value for rw: perhaps",
    ),
    // Health checks.
    ("HEALTHCHECK FOO x", "Unknown type \"FOO\" in HEALTHCHECK (try CMD)"),
    ("HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"),
    ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
    ("HEALTHCHECK --interval=x CMD y", "time: invalid duration \"x\""),
    ("HEALTHCHECK --interval=5 CMD y", "time: invalid duration \"5\""),
    (
        "HEALTHCHECK --timeout=1us CMD y",
        "Interval \"timeout\" cannot be less than 1ms",
    ),
    ("HEALTHCHECK --start-period=-1s CMD y", "time: invalid duration \"-1s\""),
    ("HEALTHCHECK --retries=x CMD y", "invalid number of retries: x"),
    ("HEALTHCHECK --retries=-1 CMD y", "--retries cannot be negative (-1)"),
    ("HEALTHCHECK --retries CMD y", "missing a value on flag: retries"),
    // Triggers.
    (
        "ONBUILD ONBUILD RUN x",
        "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed",
    ),
    ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
    ("ONBUILD MAINTAINER x", "MAINTAINER isn't allowed as an ONBUILD trigger"),
    // Heredocs.
    ("RUN <<EOF\nx", "unterminated heredoc <<EOF"),
    ("COPY <<A <<B /x\nA", "unterminated heredoc <<B"),
    ("COPY a <<EOF\nEOF", "COPY cannot accept a heredoc as a destination"),
    ("ADD a <<EOF\nEOF", "ADD cannot accept a heredoc as a destination"),
];

/// Whole files, and the line that is pointed at.
const FILES: &[(&str, &str)] = &[
    ("", "1: file with no instructions"),
    ("\n\n", "1: file with no instructions"),
    ("# only a comment\n", "1: file with no instructions"),
    ("\u{feff}", "1: file with no instructions"),
    ("RUN x\n", "1: no build stage in current context"),
    ("ARG a\nENV b=c\nFROM x\n", "2: no build stage in current context"),
    ("ARG a\n", "1: no build stage in current context"),
    ("ARG a\nARG b\n", "2: no build stage in current context"),
    (
        "FROM a\n\n# c\nRUN x \\\n  y\nNOP z\n",
        "6: unknown instruction: NOP (did you mean COPY?)",
    ),
    (
        "FROM a\nRUN <<EOF\n1\n2\nEOF\nNOPE\n",
        "6: unknown instruction: NOPE (did you mean COPY?)",
    ),
    (
        "# escape=x\nFROM a\n",
        "1: invalid escape token 'x' does not match ` or \\",
    ),
    (
        "# escape=`\n# escape=`\nFROM a\n",
        "2: only one escape parser directive can be used",
    ),
    (
        "# syntax=a\n# syntax=b\nFROM a\n",
        "2: only one syntax parser directive can be used",
    ),
    (
        "# escape=`\nFROM a\nRUN x `\n&& y\nFOO\n",
        "5: unknown instruction: FOO (did you mean FROM?)",
    ),
    (
        "FROM a\r\nRUNN x\r\n",
        "2: unknown instruction: RUNN (did you mean RUN?)",
    ),
];

#[test]
fn every_mistake_is_named() {
    let mut wrong = Vec::new();
    for (text, expected) in INSTRUCTIONS {
        let expected = format!("2: {expected}");
        let found = said(&format!("FROM a\n{text}\n"));
        if found != expected {
            wrong.push(format!("{text:?}\n  says     {found}\n  expected {expected}"));
        }
    }
    for (text, expected) in FILES {
        let found = said(text);
        if found != *expected {
            wrong.push(format!("{text:?}\n  says     {found}\n  expected {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
    assert!(INSTRUCTIONS.len() + FILES.len() > 130);
}
