"""A Ray cluster of several nodes on this machine, in a process of its own, for tests.

python ray_cluster.py FOLDER         a head and three nodes of one CPU each; prints its address
                                     and the port of its server for Ray's client, and kills what
                                     each line that it reads names: first, own or head
python ray_cluster.py run ARGUMENT…  `repro ARGUMENT…`, which says on standard error whenever it
                                     asks a process of a node for something
"""

import os
import socket
import sys
from pathlib import Path

FAST = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 300,
    "health_check_failure_threshold": 2,
}
"""A node that is gone is noticed in a second."""
SILENCE = 2
"""Seconds after which a run gives up a head."""


def cluster(folder: Path) -> None:
    from ray.cluster_utils import Cluster

    store = {"object_store_memory": 80 << 20}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": FAST, **store}
    head |= {"ray_client_server_port": port}
    made = Cluster(initialize_head=True, head_node_args=head)
    # Hosts of their own: a run joins by the node that was added last of those that are left.
    nodes = [
        made.add_node(
            num_cpus=1,
            node_ip_address=f"127.0.0.{number + 2}",
            env_vars={"REPRO_CACHE": str(folder / f"node{number}")},
            **store,
        )
        for number in range(3)
    ]
    try:
        sys.stdout.write(f"{made.address} {port}\n")
        sys.stdout.flush()
        for line in sys.stdin:
            if line.strip() == "head":
                made.head_node.kill_gcs_server(check_alive=False)
            else:
                at = {"first": 0, "own": -1}[line.strip()]
                made.remove_node(nodes.pop(at), allow_graceful=False)
    finally:
        made.shutdown()


def run(arguments: list[str]) -> int:
    from repro.cli.main import main
    from runner.ray import engine, remote

    engine._SILENCE = SILENCE
    ask = remote.RemoteProcess.ask

    def said(self: remote.RemoteProcess, method: str, *given: object) -> object:
        name = given[0] if given and isinstance(given[0], str) else ""
        sys.stderr.write(f"ASK {method} {name} {getattr(self, 'node', '')}\n")
        sys.stderr.flush()
        answer = ask(self, method, *given)
        if method == "describe":
            self.node = answer[0]
        return answer

    remote.RemoteProcess.ask = said
    return main(arguments)


if __name__ == "__main__":
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if sys.argv[1] == "run":
        sys.exit(run(sys.argv[2:]))
    cluster(Path(sys.argv[1]))
