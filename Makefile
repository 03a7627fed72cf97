.DEFAULT_GOAL := help
.PHONY: help setup env demo run mail picture test faults soak test-brokers test-cluster test-image bench check format clean

python := .venv/bin/python
# Who names a broker of their own needs none here.
broker := $(if $(HOPMAIL_AMQP_URL),,--with broker)

# Three beside each other, as half of the time is waiting; in the order of their names: the files with
# most tests are short.
parallel := -n 3 --dist loadfile --no-loadscope-reorder

# Whose every branch the tests must take.
covered := consumer/core/*,consumer/smtp/outcome_of.py,consumer/smtp/reply.py,publisher_lib/*

help:  ## list what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  HOPMAIL_AMQP_URL=amqp://… has demo and run use that RabbitMQ, whose queues must be idle;"
	@echo "  without it they start a private one."

setup:  ## install all that is needed: RabbitMQ, smtp-sink, Redis and Prometheus (Debian's), .venv
	@dev/setup.sh --with broker --with smtp-sink --with redis --with monitoring

env:  ## make .env for docker compose, with passwords of its own
	@dev/env.sh

demo:  ## send six messages through a real RabbitMQ and SMTP server, and show what became of them
	@dev/setup.sh $(broker)
	@$(python) -X utf8 -m dev.demo

run:  ## keep broker, consumers and a mail catcher running, to play with, until Ctrl-C
	@dev/setup.sh $(broker)
	@$(python) -X utf8 -m dev.playground

mail:  ## show the mail that the demo or `make run` caught
	@dev/setup.sh
	@$(python) -X utf8 -m dev.mail

picture:  ## draw the dashboard after two minutes of real mail: docs/dashboard.png
	@dev/setup.sh --with broker --with monitoring --with bench
	@$(python) -X utf8 -m dev.picture

test:  ## run every test beside a RabbitMQ of its own (a quarter of an hour); T=tests/core runs some of them
	@dev/setup.sh --with broker --with smtp-sink --with redis --with monitoring --with kubernetes
ifdef T
	@$(python) -m dev.broker exec -- $(python) -m pytest $(T)
else
	@$(python) -m dev.broker exec -- $(python) -m pytest $(parallel) \
	  --cov consumer --cov publisher_lib --cov-branch --cov-report=
	@$(python) -m coverage report --include='$(covered)' --fail-under=100 --skip-covered --show-missing
endif

faults:  ## run every case of the fault suite (about half an hour, as root), and write docs/fault-results.md
	@dev/setup.sh --with broker --with smtp-sink --with redis --with faketime --with network
	@rm -f .state/fault-results.jsonl
	@failed=0; \
	  $(python) -m dev.broker exec -- $(python) -m pytest -m faults -v tests/faults || failed=1; \
	  $(python) -m dev.network exec -- $(python) -m pytest -m cluster -v tests/cluster tests/dev/test_network.py || failed=1; \
	  $(python) -m tests.faults.results && exit $$failed

soak:  ## an hour of mixed load with a fault every 20 s (as root); its figures go to docs/fault-results.md
	@dev/setup.sh --with broker --with smtp-sink
	@$(python) -m tests.faults.soak --minutes 60

test-brokers:  ## test with RabbitMQ 3.10, 4.0 and 4.3 what depends on it (about half an hour)
	@dev/setup.sh --with broker --with smtp-sink --with redis --with network --with debootstrap
	@$(python) -m dev.brokers

test-cluster:  ## test with a cluster of three brokers, whose nodes die, freeze and are cut off
	@dev/setup.sh --with broker --with redis --with network
	@$(python) -m dev.network exec -- $(python) -m pytest -m cluster -v tests/cluster tests/dev/test_network.py

test-image:  ## build the container image on a base made here, and run it (a few minutes, as root)
	@dev/setup.sh --with broker --with smtp-sink --with image
	@$(python) -m dev.broker exec -- $(python) -m pytest -m image -v tests/image

bench:  ## measure Hopmail beside its peers (a quarter of an hour); ONLY=drain a part, QUICK=1 a trial, into .state/benchmarks
	@dev/setup.sh --with broker --with smtp-sink --with bench
	@$(python) -m dev.broker exec -- $(python) -X utf8 -m benchmarks \
	  $(if $(ONLY),--only '$(ONLY)') $(if $(QUICK),--quick)

check:  ## formatting, lint, types, layers; needs no broker
	@dev/setup.sh
	$(python) -m ruff format --check
	$(python) -m ruff check
	$(python) -m mypy
	.venv/bin/lint-imports

format:  ## format the code and mend what ruff can mend
	@dev/setup.sh
	$(python) -m ruff format
	$(python) -m ruff check --fix

clean:  ## remove .venv and all that was made here
	rm -rf .venv .state .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
