"""A Ray cluster of several nodes on this machine, in a process of its own, for tests.

python ray_cluster.py FOLDER         a head and two nodes of one CPU each; prints its address
                                     and the port of its server for Ray's client, kills a node
                                     for every line that it reads
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


def cluster(folder: Path) -> None:
    from ray.cluster_utils import Cluster

    store = {"object_store_memory": 80 << 20}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": FAST, **store}
    head |= {"ray_client_server_port": port}
    made = Cluster(initialize_head=True, head_node_args=head)
    # Hosts of their own: a run joins by the node that was added last, and that one is killed last.
    nodes = [
        made.add_node(
            num_cpus=1,
            node_ip_address=f"127.0.0.{number + 2}",
            env_vars={"REPRO_CACHE": str(folder / f"node{number}")},
            **store,
        )
        for number in range(2)
    ]
    try:
        sys.stdout.write(f"{made.address} {port}\n")
        sys.stdout.flush()
        for _ in sys.stdin:
            made.remove_node(nodes.pop(0), allow_graceful=False)
    finally:
        made.shutdown()


def run(arguments: list[str]) -> int:
    from repro.cli import main
    from runner import on_ray_remote

    ask = on_ray_remote.Remote.ask

    def said(self: on_ray_remote.Remote, method: str, *given: object) -> object:
        name = given[0] if given and isinstance(given[0], str) else ""
        sys.stderr.write(f"ASK {method} {name} {getattr(self, 'node', '')}\n")
        sys.stderr.flush()
        answer = ask(self, method, *given)
        if method == "describe":
            self.node = answer[0]
        return answer

    on_ray_remote.Remote.ask = said
    return main(arguments)


if __name__ == "__main__":
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if sys.argv[1] == "run":
        sys.exit(run(sys.argv[2:]))
    cluster(Path(sys.argv[1]))
