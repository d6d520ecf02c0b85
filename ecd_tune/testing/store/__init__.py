"""Contract of every database behind the store, as tests to inherit.

::

    from ecd_tune.testing.store import StoreContract

    class TestMyDatabase(StoreContract):
        @pytest.fixture
        def url(self):
            yield "postgresql://..."  # an empty database, fresh for each test
"""

from ecd_tune.testing.store.asking import AskingContract
from ecd_tune.testing.store.creating import CreatingContract
from ecd_tune.testing.store.leasing import LeasingContract
from ecd_tune.testing.store.queueing import QueueingContract
from ecd_tune.testing.store.retrying import RetryingContract
from ecd_tune.testing.store.sampling import SamplingContract
from ecd_tune.testing.store.sharing import SharingContract
from ecd_tune.testing.store.study import (
    complete,
    make_spec,
    plain_optuna,
    reap_expired,
    work,
)

__all__ = ["StoreContract", "complete", "make_spec", "plain_optuna", "reap_expired", "work"]


class StoreContract(
    CreatingContract,
    AskingContract,
    SamplingContract,
    QueueingContract,
    LeasingContract,
    RetryingContract,
    SharingContract,
):
    """Subclass it in a test file and override the fixture ``url``."""
