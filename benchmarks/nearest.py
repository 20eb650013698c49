"""The nearest of 10,000 samples for each of 60,000 real points: ours beside faiss, scikit-learn and scipy, time and memory.

    python benchmarks/nearest.py                 # about four minutes; recorded in benchmarks/nearest.json
    python benchmarks/nearest.py --queries 3000  # a quick look, recorded nowhere

Every search runs in a process of its own, in turns, so that none profits from another's memory. faiss is not a dependency:
`pip install faiss-cpu` where you want it in the table; a peer that is absent is left out. scipy's tree visits nearly
every leaf in many dimensions: it answers the first few hundred queries, and its time is scaled up.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

QUERIES, POOL, ROUNDS = 60_000, 10_000, 3
PEERS = {"modelab": "torch", "faiss": "faiss", "scikit-learn": "sklearn", "scipy": "scipy"}
FEW = {64: 1000, 512: 200}  # queries for the tree


def data(dimensions: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Normal points; a hundred members of the pool are copies of queries, and fifty of these stand there twice."""
    draw = np.random.default_rng(dimensions)
    queries, pool = (draw.standard_normal((n, dimensions), dtype=np.float32) for n in (n, POOL))
    pool[1000:1100] = queries[:100]
    pool[5000:5050] = queries[:50]
    return queries, pool


def searcher(peer: str):
    """A function from queries and pool to squared distances or distances, and indices."""
    if peer == "modelab":
        import torch

        from modelab.evaluation.neighbours import nearest
        return lambda q, p: [x.numpy() for x in nearest(torch.from_numpy(q), torch.from_numpy(p))]
    if peer == "faiss":
        import faiss

        def flat(q, p):
            index = faiss.IndexFlatL2(p.shape[1])
            index.add(p)
            square, who = index.search(q, 1)
            return np.sqrt(square[:, 0]), who[:, 0]
        return flat
    if peer == "scikit-learn":
        from sklearn.neighbors import NearestNeighbors

        def brute(q, p):
            distance, who = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(p).kneighbors(q)
            return distance[:, 0], who[:, 0]
        return brute
    from scipy.spatial import cKDTree
    return lambda q, p: cKDTree(p).query(q, workers=-1)


def one(peer: str, dimensions: int, n: int, path: str) -> None:
    """Search once, in this process; print seconds and memory, leave the answer in a file."""
    search, (queries, pool) = searcher(peer), data(dimensions, n)
    asked = queries[:FEW[dimensions]] if peer == "scipy" else queries
    search(asked[:50], pool[:500])  # libraries load, threads start
    start = time.perf_counter()
    distance, who = search(asked, pool)
    seconds = time.perf_counter() - start
    np.savez(path, distance=distance, who=who)
    print(json.dumps({"seconds": seconds * len(queries) / len(asked),
                      "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def measure(peers: list[str], dimensions: int, n: int, folder: Path) -> list[dict]:
    """Rounds of all peers in turns; the tree searches once."""
    found = {peer: [] for peer in peers}
    for round_ in range(ROUNDS):
        for peer in peers[round_ % len(peers):] + peers[:round_ % len(peers)]:
            if peer == "scipy" and round_:
                continue
            command = [sys.executable, __file__, "--one", peer, str(dimensions), str(folder / f"{peer}.npz"), "--queries", str(n)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found[peer].append(json.loads(done.stdout.splitlines()[-1]))
            print(dimensions, peer, found[peer][-1], flush=True)
    queries, pool = data(dimensions, n)

    def away(who: np.ndarray) -> np.ndarray:
        return np.linalg.norm(queries[:len(who)].astype(np.float64) - pool[who], axis=1)
    ours, rows = np.load(folder / "modelab.npz")["who"], []
    best = {peer: statistics.median(r["seconds"] for r in runs) for peer, runs in found.items()}
    fastest = min(seconds for peer, seconds in best.items() if peer != "modelab")
    for peer in peers:
        theirs = np.load(folder / f"{peer}.npz")
        who, mine = theirs["who"], ours[:len(theirs["who"])]
        rows.append({"dimensions": dimensions, "search": peer, "seconds": round(best[peer], 2),
                     "times the fastest other": round(best[peer] / fastest, 2),
                     "peak memory, MB": round(max(r["peak"] for r in found[peer])), "queries": len(who),
                     "farther than ours": int((away(who) > away(mine)).sum()),
                     "nearer than ours": int((away(who) < away(mine)).sum()),
                     "copies at exactly 0": f"{int((theirs['distance'][:100] == 0).sum())} of {min(100, len(who))}"})
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--queries", type=int, default=QUERIES)
    parser.add_argument("--one", nargs=3, metavar=("PEER", "DIMENSIONS", "PATH"), help="a single search, in this process")
    given = parser.parse_args()
    if given.one:
        return one(given.one[0], int(given.one[1]), given.queries, given.one[2])
    peers = [peer for peer, module in PEERS.items() if importlib.util.find_spec(module)]
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for d in FEW for row in measure(peers, d, given.queries, Path(folder))]
    import torch  # only now: a child's peak memory starts from its parent's

    from modelab.core.files import atomic_write
    result = {"what": f"the nearest of {POOL:,} for each of {QUERIES:,}, float32, each search in a process of its own; "
                      f"medians of {ROUNDS} rounds in turns; scipy scaled up from fewer queries",
              "torch": torch.__version__.split("+")[0], "device": f"cpu, {torch.get_num_threads()} threads", "rows": rows}
    if given.queries == QUERIES:
        atomic_write(Path(__file__).with_suffix(".json"), (json.dumps(result, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
