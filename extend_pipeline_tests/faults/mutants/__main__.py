"""`make mutants`: see `run`."""

import sys

from extend_pipeline_tests.faults.mutants.run import main

sys.exit(main())
