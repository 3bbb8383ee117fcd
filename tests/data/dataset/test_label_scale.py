import numpy as np

from cisnake.data.dataset.label_scale import LabelScale


def test_standardised_labels_have_mean_0_and_deviation_1():
    rng = np.random.default_rng(0)
    labels = 1e3 + rng.normal(size=(500, 3)) * [1e-2, 1, 1e4]
    labels[rng.random(labels.shape) < 0.3] = np.nan
    z = LabelScale.of(labels).standardize(labels)
    np.testing.assert_allclose(np.nanmean(z, axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(np.nanstd(z, axis=0), 1, atol=1e-6)


def test_tasks_without_spread_keep_their_unit():
    labels = np.array([[3.1, np.nan, 1.0], [3.1, np.nan, np.nan], [3.1, np.nan, np.nan]], np.float32)
    scale = LabelScale.of(labels)
    np.testing.assert_allclose(scale.mean, [3.1, 0, 1], rtol=1e-6)
    np.testing.assert_array_equal(scale.sd, [1, 1, 1])
