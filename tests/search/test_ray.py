"""The Ray executor, on a cluster of several nodes on this machine."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest
from rulesmith import RulesmithError
from rulesmith.results.views import run_json
from rulesmith.search.method import Workers, discover
from rulesmith.search.methods.symbolic import METHOD, Symbolic
from rulesmith.search.ray_executor import RayPool

ray = pytest.importorskip("ray")
from ray.cluster_utils import Cluster as Nodes  # noqa: E402


@pytest.fixture(scope="module")
def nodes():
    cluster = Nodes(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def slow():
    """Return what makes a slow evaluator; a function inside a function, which Ray takes along by value."""

    def build():
        def evaluate(item):
            path, seconds = item
            with open(path, "a") as file:
                file.write(f"{os.getpid()}\n")
            time.sleep(seconds)
            return os.path.basename(path)

        return evaluate

    return build


def test_results_come_in_order_and_a_killed_worker_loses_nothing(nodes, tmp_path):
    pool = RayPool(slow(), nodes.address)
    try:
        assert pool.workers == 2
        paths = [str(tmp_path / name) for name in "abcd"]

        def kill():
            while not os.path.exists(paths[1]):
                time.sleep(0.05)
            os.kill(int(Path(paths[1]).read_text().split()[0]), signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        found = pool.map([(path, 2.0 if i < 2 else 0.0) for i, path in enumerate(paths)])
        killer.join()
        assert found == ["a", "b", "c", "d"]
        tries = [len(Path(path).read_text().split()) for path in paths]
        assert tries[1] == 2  # once more, by another worker
        later = nodes.add_node(num_cpus=2)
        nodes.wait_for_nodes()
        assert pool.workers == 4  # a node that joins is used
        nodes.remove_node(later)
    finally:
        pool.close()


@pytest.mark.slow
def test_a_search_on_ray_finds_what_the_pool_finds(nodes, tmp_path):
    config = Symbolic(tasks=("iris-mlp-2k",), seeds=1, population=8, tournament=3, batch=8)
    discover(METHOD, config, tmp_path / "pool", bound=17, resources=Workers(2))
    discover(METHOD, config, tmp_path / "ray", bound=17, resources=Workers(ray=True, address=nodes.address))
    whole = [json.dumps(run_json(tmp_path / name, stats=False)) for name in ("pool", "ray")]
    assert whole[0] == whole[1]


def test_what_there_is_no_room_for_is_refused(nodes):
    with pytest.raises(RulesmithError, match="no room for a worker of"):
        RayPool(slow(), nodes.address, gpus=1)
    with pytest.raises(RulesmithError, match="no Ray cluster at 127"):
        RayPool(slow(), "127.0.0.1:1")
