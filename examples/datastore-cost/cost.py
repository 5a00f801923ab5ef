#!/usr/bin/python3
"""What a fleet asks of Google Cloud Datastore in a month of 30 days, beside the same fleet of
comrade 0.0.3. Prices differ from region to region: give yours, for 100,000 reads and writes of
entities, from https://cloud.google.com/datastore/pricing.

    ./cost.py --members 10 [--roles 1] [--heartbeat 10] [--agents N] [--read-price P --write-price P]

A process with Comrade in it makes one commit a heartbeat for all of its members (up to 500), which
writes each of them; and a query a minute, which reads the role specs. A member of 0.0.3 makes four
calls a heartbeat: two reads of its record, the beginning of a transaction, and a commit.
"""
import argparse

MONTH_S = 30 * 24 * 3600
SPECS_EVERY_S = 60
MEMBERS_A_COMMIT = 500
CALLS_OF_THE_ORIGINAL, READS_OF_THE_ORIGINAL = 4, 2


def ours(members, agents, roles, heartbeat_s):
    """(calls, reads, writes) a month; the members spread evenly over the agents."""
    beats = MONTH_S // heartbeat_s
    a_beat = agents * -(-members // agents // MEMBERS_A_COMMIT)
    specs = agents * MONTH_S // SPECS_EVERY_S
    return beats * a_beat + specs, specs * max(roles, 1), beats * members


def originals(members, heartbeat_s):
    beats = MONTH_S // heartbeat_s * members
    return beats * CALLS_OF_THE_ORIGINAL, beats * READS_OF_THE_ORIGINAL, beats


def price(counts, read_price, write_price):
    return (counts[1] * read_price + counts[2] * write_price) / 100_000


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--agents", type=int, help="processes that keep them (default: one each)")
    parser.add_argument("--roles", type=int, default=1)
    parser.add_argument("--heartbeat", type=int, default=10, metavar="SECONDS")
    parser.add_argument("--read-price", type=float, metavar="P", help="of 100,000 reads")
    parser.add_argument("--write-price", type=float, metavar="P", help="of 100,000 writes")
    given = parser.parse_args()
    if min(given.members, given.heartbeat, given.agents or 1) < 1:
        parser.error("members, agents and the heartbeat are at least 1")
    agents = min(given.agents or given.members, given.members)
    rows = {"this": ours(given.members, agents, given.roles, given.heartbeat),
            "0.0.3": originals(given.members, given.heartbeat)}
    has_prices = given.read_price is not None and given.write_price is not None
    print(f"{'':8}{'calls':>14}{'reads':>14}{'writes':>14}{'price':>14}" if has_prices else
          f"{'':8}{'calls':>14}{'reads':>14}{'writes':>14}")
    for name, counts in rows.items():
        line = f"{name:8}" + "".join(f"{count:>14,}" for count in counts)
        if has_prices:
            line += f"{price(counts, given.read_price, given.write_price):>14,.2f}"
        print(line)


if __name__ == "__main__":
    main()
