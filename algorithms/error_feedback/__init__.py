"""Methods around a compressed average of all nodes, most of them with error feedback, one file each."""

from algorithms.error_feedback.accordion import Accordion as Accordion
from algorithms.error_feedback.accordion_batch import AccordionBatch as AccordionBatch
from algorithms.error_feedback.adiana import Adiana as Adiana
from algorithms.error_feedback.autoencoder import Autoencoder as Autoencoder
from algorithms.error_feedback.compressed_sgd import CompressedSGD as CompressedSGD
from algorithms.error_feedback.cser import Cser as Cser
from algorithms.error_feedback.deep_gradient_compression import DeepGradientCompression as DeepGradientCompression
from algorithms.error_feedback.diana import Diana as Diana
from algorithms.error_feedback.dist_ef_sgd import DistEFSGD as DistEFSGD
from algorithms.error_feedback.double_compression_sgd import DoubleCompressionSGD as DoubleCompressionSGD
from algorithms.error_feedback.double_squeeze import DoubleSqueeze as DoubleSqueeze
from algorithms.error_feedback.ef21 import Ef21 as Ef21
from algorithms.error_feedback.error_feedback_sgd import ErrorFeedbackSGD as ErrorFeedbackSGD
from algorithms.error_feedback.learned_compression import LearnedCompression as LearnedCompression
from algorithms.error_feedback.marina import Marina as Marina
from algorithms.error_feedback.qsparse_local_sgd import QsparseLocalSGD as QsparseLocalSGD
from algorithms.error_feedback.sign_sgd import SignSGD as SignSGD
from algorithms.error_feedback.step_ahead_sgd import StepAheadSGD as StepAheadSGD
from algorithms.error_feedback.two_way_method import TwoWayMethod as TwoWayMethod
from algorithms.error_feedback.zeno_ps import ZenoPS as ZenoPS
