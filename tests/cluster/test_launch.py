"""What launchers write: names, quoting, KubeRay's and Ray's own schemas. Slurm has tests of its own."""

import csv
import re
import shlex
import subprocess
import tomllib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from cluster.errors import ClusterError
from cluster.launch import compose, docker, kuberay, ray_up, slurm, submit
from cluster.launch.job import Job, local_disk
from tests.conftest import ROOT
from tests.prometheus import needs_prometheus

SCHEMA = yaml.safe_load(Path(__file__).with_name("kuberay_schema.yaml").read_text(encoding="utf-8"))
ODD = 'model.name=it\'s $(id) `id` ${HOME} "x" {a: 1}; 李明'
"""A word that a shell, YAML, Jinja and Docker would each take apart."""
JOB = Job(("-m", "rl.main", ODD), "/shared/实验 (1), 50%", nodes=4, gpus=8, cpus=64, memory_gb=512)
DOCKERFILE = ROOT / "cluster" / "launch" / "Dockerfile"
KEYS = {
    "cap_drop", "command", "cpus", "depends_on", "deploy", "environment", "image", "init", "mem_limit", "network_mode",
    "ports", "security_opt", "shm_size", "stop_grace_period", "user", "volumes",
}  # fmt: skip
"""Keys of a service in the Compose specification that the file uses."""
MOUNTS = "/dev/sda / ext4 rw 0 0\nnfs:/a /shared nfs4 rw 0 0\ntmpfs /shared/my\\040disk tmpfs rw 0 0\n"


@pytest.mark.parametrize(
    ("run_dir", "name"),
    [
        ("/shared/legal-nano-seed0", "themis-legal-nano-seed0"),
        ("/shared/Runs/A_b c", "themis-a-b-c"),
        ("/shared/实验", "themis-run"),
        ("/shared/" + "x" * 80, "themis-" + "x" * 24),
        ("/shared/" + "x" * 23 + "-y", "themis-" + "x" * 23),
    ],
)
def test_a_name_is_taken_by_every_launcher(run_dir, name):
    found = replace(JOB, run_dir=run_dir).name
    assert re.fullmatch(f"{name}-[0-9a-f]{{8}}", found) and len(found) <= 40


def test_each_folder_has_a_name_of_its_own_at_each_start():
    """Kubernetes and compose change what runs under a name that is launched again."""
    folders = ["/a/run", "/b/run", "/a/实验一", "/a/实验二", "/a/" + "x" * 80, "/a/" + "x" * 81, "/a/Run"]
    names = [replace(JOB, run_dir=folder).name for folder in folders]
    assert len(set(names)) == len(folders) and replace(JOB, run_dir="/a/run/").name == names[0]


@pytest.mark.parametrize("changed", [{"run_dir": "/a\nb"}, {"words": ("a\n#SBATCH --uid=0",)}])
def test_a_line_break_is_refused(changed):
    with pytest.raises(ClusterError, match="line break"):
        replace(JOB, **changed)


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/shared/run", ""), ("/home/run", "ext4"), ("/shared/my disk/run", "tmpfs"), ("/shared2/run", "ext4")],
)
def test_a_disk_of_one_machine_is_told_from_a_shared_one(path, kind):
    assert local_disk(path, MOUNTS) == kind


def test_a_run_on_kubernetes():
    job = replace(JOB, run_dir="/shared/legal", folders=("/shared/models/m",))
    launch = kuberay.launch(job, image="lab/themis:gpu", claim="disk", secret="keys", namespace="nlp")
    found = yaml.safe_load(launch.text)
    jsonschema.validate(found, SCHEMA)
    spec = found["spec"]
    assert shlex.split(spec["entrypoint"]) == [
        "cd", "/opt/themis", "&&", "exec", "python", "-m", "rl.main", ODD, "cluster.address=auto",
    ]  # fmt: skip
    (workers,) = spec["rayClusterSpec"]["workerGroupSpecs"]
    (container,) = workers["template"]["spec"]["containers"]
    assert (workers["minReplicas"], container["resources"]["limits"]["nvidia.com/gpu"]) == (4, "8")
    assert container["envFrom"] == [{"secretRef": {"name": "keys"}}] and "&" not in launch.text.replace("&&", "")
    assert spec["rayClusterSpec"]["authOptions"] == {"mode": "token"}


def test_a_cluster_on_kubernetes_without_gpus():
    job = replace(JOB, run_dir="/shared/legal", gpus=0)
    found = yaml.safe_load(kuberay.launch(job, kind="RayCluster").text)
    jsonschema.validate(found, SCHEMA)
    assert "nvidia.com/gpu" not in str(found) and "entrypoint" not in str(found)


@pytest.mark.parametrize("where", ["spec.replicas", "spec.rayClusterSpec.headGroupSpec.ports", "status"])
def test_the_schema_refuses_what_kubernetes_would(where):
    """The check above can fail."""
    found = yaml.safe_load(kuberay.launch(replace(JOB, run_dir="/shared/legal")).text)
    *path, key = where.split(".")
    inner = found
    for name in path:
        inner = inner[name]
    inner[key] = 1
    with pytest.raises(jsonschema.ValidationError, match=key):
        jsonschema.validate(found, SCHEMA)


@pytest.mark.parametrize(
    ("job", "mount", "said"),
    [
        (JOB, "/disk", "is not below /disk"),
        (replace(JOB, folders=("/models/m",)), "/shared", "/models/m is not below /shared"),
        (JOB, "shared", "no absolute path"),
    ],
)
def test_what_pods_would_not_see_is_refused(job, mount, said):
    with pytest.raises(ClusterError, match=said):
        kuberay.launch(job, mount=mount)


def test_ray_takes_the_yaml_of_ray_up():
    launch = ray_up.launch(JOB, hosts=tuple("abcde"), user="me", folder="/opt/a b", python="/opt/a b/python")
    found = yaml.safe_load(launch.text)
    assert found["provider"] == {"type": "local", "head_ip": "a", "worker_ips": ["b", "c", "d"]}
    validate_config(prepare_config(found))
    with pytest.raises(jsonschema.ValidationError, match="no_such_key"):
        validate_config(prepare_config(found | {"no_such_key": 1}))
    *_, command = shlex.split(launch.then)
    assert shlex.split(command)[:3] == ["cd", "/opt/a b", "&&"] and ODD in shlex.split(command)


def test_too_few_machines_for_ray_up():
    with pytest.raises(ClusterError, match="needs 4 nodes, and --hosts names 2"):
        ray_up.launch(JOB, hosts=("a", "b", "a"), user="me", folder="/t", python="python")


def test_a_machine_that_is_named_twice_is_one():
    found = yaml.safe_load(ray_up.launch(replace(JOB, nodes=2), hosts=("a", "a", "b"), user="me").text)
    assert found["provider"] == {"type": "local", "head_ip": "a", "worker_ips": ["b"]}


def test_a_container_sees_what_the_run_reads_and_no_value_of_a_secret(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "s3cret")
    job = replace(JOB, nodes=1, folders=("/models/m", "models/n", '/data/a"b'))
    words = list(docker.launch(job).command)
    mounts = [words[number + 1] for number, word in enumerate(words) if word == "--mount"]
    assert mounts == [
        'type=bind,"source=/shared/实验 (1), 50%","target=/shared/实验 (1), 50%"',
        "type=bind,source=/models/m,target=/models/m,readonly",
        f"type=bind,source={Path.cwd()}/models/n,target=/opt/themis/models/n,readonly",
        'type=bind,"source=/data/a""b","target=/data/a""b",readonly',
    ]
    assert words[words.index("--gpus") + 1] == "8" and "s3cret" not in str(words) and "WANDB_API_KEY" in words
    assert words[-4:] == ["-m", "rl.main", ODD, "cluster.address=local"]
    assert words[-6:-4] == ["themis:gpu", "python"]


@pytest.mark.parametrize("launcher", [docker, compose])
def test_a_container_is_one_machine(launcher):
    with pytest.raises(ClusterError, match="starts one machine, and this run needs 4 nodes"):
        launcher.launch(JOB)


def composed(job):
    return yaml.safe_load(compose.launch(job).text)["services"]


def test_compose_gives_the_run_what_docker_gives_it(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "s3cret")
    job = replace(JOB, nodes=1, folders=("/models/m", "models/n"))
    text, words = compose.launch(job).text, list(docker.launch(job).command)
    run = composed(job)["run"]
    assert [word.replace("$$", "$") for word in run["command"]] == words[words.index("themis:gpu") + 1 :]
    assert "s3cret" not in text and "WANDB_API_KEY" in run["environment"]
    mounts = [next(csv.reader([words[n + 1]])) for n, word in enumerate(words) if word == "--mount"]
    assert [_mount(one) for one in run["volumes"] if isinstance(one, dict)] == mounts
    option = dict(pairwise(words))
    for name, key in {"--user": "user", "--memory": "mem_limit", "--shm-size": "shm_size"}.items():
        assert run[key] == option[name], key
    assert str(run["cpus"]) == option["--cpus"] and run["stop_grace_period"] == f"{option['--stop-timeout']}s"
    assert run["deploy"]["resources"]["reservations"]["devices"][0]["count"] == 8
    assert "deploy" not in composed(replace(job, gpus=0))["run"]


def _mount(one):
    fields = ["type=bind", f"source={one['source']}", f"target={one['target']}"]
    return fields + ["readonly"] * one.get("read_only", False)


def test_what_watches_a_run_is_on_loopback_and_finds_its_files():
    """Compose itself is not here, nor its schema: keys are held to those of the specification that are meant."""
    content = yaml.safe_load(compose.launch(replace(JOB, nodes=1), port="3001").text)
    assert content.keys() == {"name", "services", "volumes"} and re.fullmatch("[a-z0-9][a-z0-9_-]*", content["name"])
    services = content["services"]
    for service in services.values():
        assert service.keys() <= KEYS and {"image", "cap_drop", "security_opt"} <= service.keys(), service.keys() - KEYS
        for one in service["volumes"]:
            if isinstance(one, str):
                assert one.split(":")[0] in content["volumes"], one
            elif one["source"].startswith(str(ROOT)):
                assert Path(one["source"]).is_file() and one["read_only"], one
    assert services["grafana"]["ports"] == ["127.0.0.1:3001:3000"]
    for name in ("run", "prometheus"):
        assert services[name]["network_mode"] == "service:grafana" and "ports" not in services[name]
    assert "--web.listen-address=127.0.0.1:9090" in services["prometheus"]["command"]
    assert services["grafana"]["environment"][compose.PASSWORD].startswith(f"${{{compose.PASSWORD}:?")
    assert {"ray:/tmp/ray"} <= set(services["run"]["volumes"][1:]) and "1777 /tmp/ray" in DOCKERFILE.read_text()


def test_the_files_of_prometheus_and_grafana_name_each_other():
    """Paths as the containers see them."""
    services = composed(replace(JOB, nodes=1))
    seen = {
        name: {one["target"]: Path(one["source"]) for one in service["volumes"] if isinstance(one, dict)}
        for name, service in services.items()
    }
    rules = yaml.safe_load((compose.FILES / "prometheus.yaml").read_text())
    assert set(rules["rule_files"]) <= seen["prometheus"].keys()
    assert f"--config.file={next(iter(seen['prometheus']))}" in services["prometheus"]["command"]
    (boards,) = yaml.safe_load((compose.FILES / "boards.yaml").read_text())["providers"]
    board = services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert board in seen["grafana"] and str(Path(board).parent) == boards["options"]["path"]
    (source,) = yaml.safe_load((compose.FILES / "datasource.yaml").read_text())["datasources"]
    assert source["isDefault"] and source["url"] == "http://127.0.0.1:9090"


@needs_prometheus
def test_prometheus_takes_its_configuration(tmp_path):
    text = (compose.FILES / "prometheus.yaml").read_text()
    file = tmp_path / "prometheus.yaml"
    file.write_text(text.replace("/etc/prometheus/", f"{compose.FILES}/"))
    done = subprocess.run(["promtool", "check", "config", str(file)], capture_output=True, text=True)
    assert done.returncode == 0 and "1 rule files found" in done.stdout, done.stdout + done.stderr


def test_a_job_that_is_stopped_gets_time_to_end():
    sent = submit.submission(JOB, folder="/opt/themis", python="python")
    assert sent["runtime_env"] == {"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": "120"}}
    assert shlex.split(sent["entrypoint"])[-2:] == [ODD, "cluster.address=auto"]


def test_a_submission_to_nobody_is_a_sentence():
    with pytest.raises(ClusterError, match=r"could not be submitted to http://127.0.0.1:9.*--address"):
        submit.submit("http://127.0.0.1:9", submit.submission(JOB, folder="/", python="python"))


@pytest.mark.parametrize(
    ("time", "seconds"),
    [("90", 5400), ("90:30", 5430), ("8:00:00", 28800), ("2-00", 172800), ("1-12:30", 131400), ("0-0:4:1", 241)],
)
def test_a_time_limit_is_read_as_slurm_reads_it(time, seconds):
    assert slurm.seconds(time) == seconds


@pytest.mark.parametrize(
    ("time", "said"), [("8h", "no time limit"), ("", "no time limit"), ("3", "at least 4 minutes")]
)
def test_a_time_limit_that_leaves_no_time_is_refused(time, said):
    with pytest.raises(ClusterError, match=said):
        slurm.launch(JOB, time=time)


def test_the_image_holds_what_a_run_needs_and_is_not_roots():
    lines = (ROOT / "cluster/launch/Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = {source for line in lines if line.startswith("COPY ") and "--from" not in line
              for source in line.split()[1:-1]}  # fmt: skip
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {name.rstrip("*") for name in packages} | {"pyproject.toml"} <= copied
    assert all((ROOT / source).exists() for source in copied)
    for target in ("cpu", "gpu"):
        stage = lines[lines.index(f"FROM themis AS {target}") :]
        assert next(line for line in stage if line.startswith("USER ")) == f"USER {kuberay.USER}"
    assert any(line.endswith("--mode 1777 /tmp/ray /opt/themis/.cache") for line in lines)  # docker.py names any user
