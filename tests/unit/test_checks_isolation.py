"""Commands with which Python does not find us: in images and in configuration."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from af_otel.checks import offline, run
from af_otel.checks._commands import isolating_options, without_isolation
from af_otel.checks._look import PROGRAM, View
from af_otel.checks._sources import Files
from af_otel.checks._templates import Template
from af_otel.checks.context import Context
from tests.rendered import a_facility

CHECK = "python-is-not-isolated"
FOUND = "import sys; print('_af_otel_boot' in sys.modules)"
KERNEL = ["-m", "ipykernel_launcher", "-f", "{connection_file}"]


def starts_us(command, payload):
    """Return whether the Python of a command, which runs `FOUND`, has found the payload."""
    env = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(payload),
    }
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip() == "True"


@pytest.mark.parametrize(
    ("options", "isolating"),
    [
        (["-c"], []),
        (["-s", "-B", "-c"], []),
        (["-Xdev", "-c"], []),
        (["-W", "ignore", "-c"], []),
        (["-WI", "-c"], []),
        (["-I", "-c"], ["-I"]),
        (["-Ic"], ["-I"]),
        (["-sI", "-c"], ["-I"]),
        (["-Es", "-c"], ["-E"]),
        (["-Xdev", "-W", "ignore", "-BE", "-c"], ["-E"]),
        (["--check-hash-based-pycs", "always", "-E", "-c"], ["-E"]),
        (["-ISE", "-X", "dev", "-c"], ["-E", "-I", "-S"]),
        (["-S", "-c"], ["-S"]),
    ],
)
def test_options_are_read_as_python_reads_them(payload, options, isolating):
    """Python finds us with exactly the options that are said not to isolate it."""
    command = [sys.executable, *options, FOUND, "-I", "-E"]
    assert isolating_options(command) == isolating
    assert starts_us(command, payload) == (not isolating)
    assert starts_us(without_isolation(command), payload)
    assert isolating or without_isolation(command) == command


@pytest.mark.parametrize("options", ["-I -c", "-E  -s -c", "-Sc", "-B -c"])
def test_what_a_shell_runs_is_read(payload, options):
    """Also behind another command, and the rest of the text stays as it is."""
    text = f'echo  "-I" >&2 && exec python3 {options} "$0"'
    command = ["sh", "-c", text, FOUND]
    assert starts_us(command, payload) == (not isolating_options(command))
    assert starts_us(without_isolation(command), payload)
    assert without_isolation(command)[2].startswith('echo  "-I" >&2 && exec python3 ')


def test_what_is_no_python_has_no_such_options():
    """Options of other programs, and of what Python runs, mean something else."""
    for command in (["R", "-E"], ["python3", "run.py", "-I"], ["python3", "-m", "run", "-E"], []):
        assert isolating_options(command) == []
        assert without_isolation(command) == command


@pytest.fixture
def image(tmp_path):
    """An image: a virtual environment with Jupyter, and data paths of all kinds."""
    prefix = tmp_path / "prefix"
    venv.create(prefix, symlinks=True)
    [site] = prefix.glob("lib/python*/site-packages")
    paths = [entry for entry in sys.path if entry.endswith("site-packages")]
    (site / "ours.pth").write_text("\n".join(paths))
    env = {
        "PATH": f"{prefix / 'bin'}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "JUPYTER_PATH": str(tmp_path / "shared/share/jupyter"),
        "IPYTHONDIR": str(tmp_path / "ipython"),
    }
    return SimpleNamespace(python=str(prefix / "bin/python"), env=env, path=tmp_path)


def install(image, name, *place):
    """Install a kernel spec as `ipykernel install` does."""
    subprocess.run(
        [image.python, "-m", "ipykernel", "install", "--name", name, *place],
        env=image.env,
        capture_output=True,
        check=True,
    )


def kernels(image):
    """Return the file of each kernel spec that the image's Jupyter lists."""
    code = (
        "import json, jupyter_client.kernelspec as kernels\n"
        "print(json.dumps(kernels.KernelSpecManager().find_kernel_specs()))"
    )
    done = subprocess.run(
        [image.python, "-c", code], env=image.env, capture_output=True, text=True, check=True
    )
    return {name: Path(place, "kernel.json") for name, place in json.loads(done.stdout).items()}


def isolate(spec, option="-I"):
    content = json.loads(spec.read_text())
    content["argv"].insert(1, option)
    spec.write_text(json.dumps(content))


def look(image):
    done = subprocess.run(
        [image.python, "-c", PROGRAM], env=image.env, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def findings(found):
    """What the check says of an image where a probe has found this."""
    context = Context(a_facility(), Files([]), cluster=SimpleNamespace(host=""))
    place = next(place for place in context.places if place.role == "user")
    template = Template(place, "users' pods", "lab:1", "", {}, {"containers": [{}]})
    context.once("views", lambda: [View(template, found)])
    return run.run(context, run.chosen([CHECK]))


def test_kernels_are_found_where_jupyter_finds_them(image):
    """Each that Jupyter lists is found, and one that another hides from Jupyter is not."""
    shared = ("--prefix", str(image.path / "shared"))
    install(image, "of-ipython", *shared)
    (image.path / "ipython").mkdir(exist_ok=True)
    (image.path / "shared/share/jupyter/kernels").rename(image.path / "ipython/kernels")
    install(image, "on-path", *shared)
    install(image, "of-user", "--user")
    for name in ("in-prefix", "healthy", "twice"):
        install(image, name, "--sys-prefix")
    install(image, "twice", *shared)
    listed = kernels(image)
    assert set(listed) >= {"on-path", "of-user", "in-prefix", "healthy", "twice", "of-ipython"}
    for name, spec in listed.items():
        if name.startswith(("on-", "of-", "in-")):
            isolate(spec)
    [hidden] = {*image.path.glob("*/share/jupyter/kernels/twice/kernel.json")} - {listed["twice"]}
    isolate(hidden)
    isolated = {str(listed[name]) for name in ("on-path", "of-user", "in-prefix", "of-ipython")}
    commands = look(image)["commands"]
    assert set(commands["found"]) == isolated
    assert commands["more"] == 0


def test_an_isolated_kernel_is_reported_with_the_argv_to_use(image, payload):
    """The file, the options, and an `argv` with which Python finds us."""
    install(image, "in-prefix", "--sys-prefix")
    spec = kernels(image)["in-prefix"]
    before = json.loads(spec.read_text())["argv"]
    isolate(spec, "-Es")
    report = findings(look(image))
    [finding] = report.findings
    assert finding.severity == "warns"
    assert finding.what == "Kernel `in-prefix` starts Python with `-E`, so it cannot be traced"
    assert finding.where == f"`{spec}` in image `lab:1` of users' pods"
    file, argv = finding.mend.split('\n"argv": ')
    assert file == f"# in {spec}"
    assert json.loads(argv) == [before[0], "-s", *before[1:]]
    assert not report.unchecked


def test_the_first_line_of_a_servers_script_is_read(image):
    """A script is started by its first line, whatever the command of the spawner."""
    script = Path(image.python).with_name("jupyterhub-singleuser")
    script.write_text(f"#!{image.python} -IB\n")
    script.chmod(0o755)
    [finding] = findings(look(image)).findings
    assert finding.what.startswith("Script `jupyterhub-singleuser` starts Python with `-I`")
    assert finding.mend == f"# the first line of {script}\n#!{image.python} -sB"


def test_more_kernels_than_a_termination_message_holds(image):
    """What is left out is said, and the message stays within 4096 bytes."""
    install(image, "in-prefix", "--sys-prefix")
    spec = kernels(image)["in-prefix"]
    isolate(spec)
    for number in range(30):
        copy = spec.parents[1] / f"copy-{number}" / spec.name
        copy.parent.mkdir()
        copy.write_text(spec.read_text())
    found = look(image)
    assert len(json.dumps(found)) < 4096
    report = findings(found)
    assert report.findings
    assert len(report.findings) + found["commands"]["more"] == 31
    [unchecked] = report.unchecked
    assert f"{found['commands']['more']} more" in unchecked.why


def checked(tmp_path, values):
    file = tmp_path / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    report = run.run(offline.context([file], None), run.chosen([CHECK]))
    return [(each.what, each.where.split(" in `/")[0], each.mend) for each in report.findings]


def test_commands_of_the_configuration_are_read(tmp_path):
    """Of the chart, of its profiles, and of spawners in Python; each with what to use instead."""
    command = ["python3", "-I", "-m", "jupyterhub.singleuser"]
    profile = {"kubespawner_override": {"cmd": ["python3", "-E", "-m", "jupyterhub.singleuser"]}}
    code = f"c.KubeSpawner.cmd = {command}\nc.Spawner.args = ['-I']\n"
    values = {
        "hub": {"config": {}, "extraConfig": {"cmd": code}},
        "singleuser": {"cmd": command, "profileList": [{"display_name": "a", **profile}]},
    }
    better = '["python3", "-s", "-m", "jupyterhub.singleuser"]'
    first, second, third = checked(tmp_path, values)
    assert first[:2] == (
        "`singleuser.cmd` starts Python with `-I`, so it cannot be traced",
        "`singleuser.cmd`",
    )
    assert yaml.safe_load(first[2]) == {"singleuser": {"cmd": json.loads(better)}}
    assert second[:2] == (
        "A profile's `kubespawner_override.cmd` starts Python with `-E`, so it cannot be traced",
        "`singleuser.profileList`",
    )
    assert second[2] == (
        '# in that profile\nkubespawner_override: {cmd: ["python3", "-m", "jupyterhub.singleuser"]}'
    )
    assert third == (
        "`KubeSpawner.cmd` starts Python with `-I`, so it cannot be traced",
        "line 1 of `hub.extraConfig.cmd`",
        f"c.KubeSpawner.cmd = {better}",
    )


def test_commands_without_such_options_are_well(tmp_path):
    """As by default, as one word, as an expression."""
    for command in ("jupyterhub-singleuser", ["jupyter-labhub"], None):
        code = "c.Spawner.cmd = [*base, '-I']"
        values = {"hub": {"config": {}, "extraConfig": code}, "singleuser": {"cmd": command}}
        assert checked(tmp_path, values) == []
