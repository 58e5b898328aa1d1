package throughline;

import java.lang.reflect.Field;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import javax.security.sasl.AuthenticationException;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hive.conf.HiveConf;
import org.apache.hive.service.CompositeService;
import org.apache.hive.service.auth.PasswdAuthenticationProvider;
import org.apache.hive.service.cli.CLIService;
import org.apache.hive.service.cli.thrift.ThriftBinaryCLIService;
import org.apache.hive.service.rpc.thrift.TOpenSessionReq;
import org.apache.hive.service.rpc.thrift.TOpenSessionResp;
import org.apache.spark.sql.SparkSessionExtensions;
import org.apache.spark.sql.catalyst.FunctionIdentifier;
import org.apache.spark.sql.catalyst.analysis.ExpressionWithUnresolvedIdentifier;
import org.apache.spark.sql.catalyst.analysis.FunctionRegistry$;
import org.apache.spark.sql.catalyst.analysis.TableFunctionRegistry$;
import org.apache.spark.sql.catalyst.analysis.UnresolvedFunction;
import org.apache.spark.sql.catalyst.analysis.UnresolvedGenerator;
import org.apache.spark.sql.catalyst.analysis.UnresolvedNamespace;
import org.apache.spark.sql.catalyst.analysis.UnresolvedRelation;
import org.apache.spark.sql.catalyst.analysis.UnresolvedTable;
import org.apache.spark.sql.catalyst.analysis.UnresolvedTableOrView;
import org.apache.spark.sql.catalyst.analysis.UnresolvedTableValuedFunction;
import org.apache.spark.sql.catalyst.expressions.ExpressionInfo;
import org.apache.spark.sql.catalyst.parser.ParserInterface;
import org.apache.spark.sql.catalyst.plans.logical.DescribeColumn;
import org.apache.spark.sql.catalyst.plans.logical.DescribeRelation;
import org.apache.spark.sql.catalyst.plans.logical.LogicalPlan;
import org.apache.spark.sql.classic.SparkSession;
import org.apache.spark.sql.hive.HiveUtils$;
import org.apache.spark.sql.hive.thriftserver.HiveThriftServer2;
import org.apache.spark.sql.hive.thriftserver.HiveThriftServer2$;
import org.apache.spark.sql.hive.thriftserver.ui.HiveThriftServer2EventManager;
import scala.Option;
import scala.Product;
import scala.Some;
import scala.collection.Iterable;
import scala.collection.Iterator;
import scala.collection.immutable.Map;
import scala.collection.immutable.Seq;
import scala.runtime.AbstractFunction2;

/**
 * The embedded server: Spark Connect with full power behind its token, and beside it a JDBC door that reads the gold tables and nothing else.
 * Arguments: the folder of the gold tables, then their names.
 *
 * Every statement of a JDBC session is judged as its parser leaves it, before any name, path or function of it is looked up: what is not known to
 * read a gold table is refused. (Rules on analysed plans come too late: looking a path up already reads its files.)
 * Compiled by Janino: no lambdas, no inferred generics.
 */
public final class Server {
    public static void main(String[] arguments) throws Exception {
        // Hive makes this one class from a configuration of its own
        System.setProperty("hive.server2.custom.authentication.class", Password.class.getName());
        SparkSession pipeline = (SparkSession) SparkSession.builder().getOrCreate();
        Gold gold = new Gold(pipeline.newSession(), arguments[0], Arrays.asList(arguments).subList(1, arguments.length));
        SparkSessionExtensions extensions = org.apache.spark.sql.classic.SparkSession$.MODULE$.applyAndLoadExtensions(pipeline.sparkContext());
        extensions.injectParser(new Gate(gold));
        Map closed = pipeline.initialSessionOptions();
        // a variable would put the server's environment into a statement; a path is no table
        closed = (Map) closed.updated("spark.sql.variable.substitute", "false").updated("spark.sql.runSQLOnFiles", "false");
        Option nothing = Option.apply(null);
        Map empty = scala.collection.immutable.Map$.MODULE$.empty();
        SparkSession reader = new SparkSession(
            pipeline.sparkContext(), new Some(pipeline.sharedState()), nothing, extensions, closed, empty);
        HiveConf settings = HiveUtils$.MODULE$.newClientForExecution(
            pipeline.sparkContext().conf(), reader.sessionState().newHadoopConf()).conf();
        HiveThriftServer2$.MODULE$.systemExitOnError().set(true);
        HiveThriftServer2$.MODULE$.eventManager_$eq(new HiveThriftServer2EventManager(pipeline.sparkContext()));
        HiveThriftServer2 server = new HiveThriftServer2(reader);
        server.init(settings);
        changeListener(server, settings, gold);
        server.start();
    }

    /** Hive's listener is made inside of its server; ours takes its place before anything listens. */
    private static void changeListener(HiveThriftServer2 server, HiveConf settings, Gold gold) throws Exception {
        Field field = CompositeService.class.getDeclaredField("serviceList");
        field.setAccessible(true);
        List services = (List) field.get(server);
        CLIService sessions = null;
        for (int place = 0; place < services.size(); place++) {
            Object service = services.get(place);
            if (service instanceof CLIService) sessions = (CLIService) service;
            if (service instanceof ThriftBinaryCLIService) {
                Door door = new Door(sessions, gold);
                door.init(settings);
                services.set(place, door);
                return;
            }
        }
        throw new IllegalStateException("Hive's listener was not found: JDBC stays closed");
    }
}

/** One user, and the password of a file that only its owner reads. */
class Password implements PasswdAuthenticationProvider {
    public void Authenticate(String user, String password) throws AuthenticationException {
        try {
            byte[] right = Files.readAllBytes(Paths.get(System.getenv("THROUGHLINE_JDBC_PASSWORD_FILE")));
            boolean isRight = password != null && MessageDigest.isEqual(right, password.getBytes(StandardCharsets.UTF_8));
            if (right.length > 0 && isRight && System.getenv("THROUGHLINE_JDBC_USER").equals(user)) return;
        } catch (java.io.IOException error) {
            throw new AuthenticationException("the password's file cannot be read", error);
        }
        throw new AuthenticationException("not the user and the password that THROUGHLINE_HOME/spark/jdbc_password was made for");
    }
}

/** The listener: a session keeps the database it asks for and loses every setting (among them are Java's system properties). */
class Door extends ThriftBinaryCLIService {
    private static final String DATABASE = "use:database";
    private final Gold gold;

    Door(CLIService sessions, Gold gold) {
        super(sessions);
        this.gold = gold;
    }

    public TOpenSessionResp OpenSession(TOpenSessionReq request) throws org.apache.thrift.TException {
        if (request.getConfiguration() != null) {
            request.getConfiguration().keySet().retainAll(Collections.singleton(DATABASE));
            // what a client sends that asks for none
            request.getConfiguration().remove(DATABASE, "default");
        }
        gold.register();
        return super.OpenSession(request);
    }
}

/** The gold tables, by name: those that have appeared in their folder are named before every statement. */
class Gold {
    static final String NAME = "gold";
    private final SparkSession session;
    private final String folder;
    private final Set missing;

    Gold(SparkSession session, String folder, Collection names) {
        this.session = session;
        this.folder = folder;
        this.missing = new HashSet(names);
        session.sql("CREATE DATABASE IF NOT EXISTS " + NAME);
    }

    synchronized void register() {
        for (Object name : missing.toArray()) {
            String path = folder + "/" + name;
            try {
                Path log = new Path(path, "_delta_log");
                if (log.getFileSystem(session.sparkContext().hadoopConfiguration()).exists(log)) {
                    String quoted = path.replace("\\", "\\\\").replace("'", "\\'");
                    session.sql("CREATE TABLE IF NOT EXISTS " + NAME + "." + name + " USING delta LOCATION '" + quoted + "'");
                    missing.remove(name);
                }
            } catch (Exception error) {
                System.err.println("gold." + name + " cannot be named for JDBC yet: " + error);
            }
        }
    }
}

/** Wraps a session's parser. */
class Gate extends AbstractFunction2 {
    private final Gold gold;

    Gate(Gold gold) {
        this.gold = gold;
    }

    public Object apply(Object session, Object parser) {
        return Proxy.newProxyInstance(
            getClass().getClassLoader(), new Class[] {ParserInterface.class}, new GatedParser((SparkSession) session, parser, gold));
    }
}

class GatedParser implements InvocationHandler {
    private static final Set READS = names(
        "Aggregate", "Distinct", "Except", "Filter", "Generate", "GlobalLimit", "Intersect", "Join", "LateralJoin", "LocalLimit", "LocalRelation",
        "Offset", "OneRowRelation", "Pivot", "Project", "RelationTimeTravel", "Sample", "Sort", "SubqueryAlias", "Tail", "Union", "Unpivot",
        "UnresolvedHaving", "UnresolvedHint", "UnresolvedInlineTable", "UnresolvedRelation", "UnresolvedSubqueryColumnAliases",
        "UnresolvedTVFAliases", "UnresolvedTableValuedFunction", "UnresolvedWith", "Window", "WithWindowDefinition");
    private static final Set LOOKS = names(
        "CurrentNamespace$", "DescribeColumn", "DescribeRelation", "DescribeTablePartition", "SetCatalogAndNamespace",
        "ShowColumns", "ShowNamespaces", "ShowNamespacesCommand", "ShowTables", "ShowViews", "UnresolvedNamespace", "UnresolvedTable",
        "UnresolvedTableOrView");
    // of Spark's own groups of functions: without those that reach Java, files or formats with schemas of their own
    private static final Set GROUPS = names(
        "agg_funcs", "array_funcs", "bitwise_funcs", "collection_funcs", "conditional_funcs", "conversion_funcs", "datetime_funcs",
        "generator_funcs", "hash_funcs", "json_funcs", "lambda_funcs", "map_funcs", "math_funcs", "predicate_funcs", "string_funcs", "struct_funcs",
        "url_funcs", "window_funcs");
    private static final Set FUNCTIONS = names(
        "current_catalog", "current_database", "current_schema", "current_user", "range", "session_user", "typeof", "user", "uuid", "version");

    private final SparkSession session;
    private final Object parser;
    private final Gold gold;

    GatedParser(SparkSession session, Object parser, Gold gold) {
        this.session = session;
        this.parser = parser;
        this.gold = gold;
    }

    public Object invoke(Object proxy, Method method, Object[] arguments) throws Throwable {
        Object parsed;
        try {
            parsed = method.invoke(parser, arguments);
        } catch (InvocationTargetException error) {
            throw error.getCause();
        }
        if (parsed instanceof LogicalPlan) {
            judge(parsed);
            gold.register();
            // a name without a database is a gold table's
            session.sessionState().catalog().setCurrentDatabase(Gold.NAME);
        }
        return parsed;
    }

    /** Everything that hangs on a node: children, subqueries, and what commands and WITH keep beside them. */
    private static void judge(Object part) {
        if (part instanceof LogicalPlan) judgePlan((LogicalPlan) part);
        // Spark's hidden column of where a row's file lies, by whatever kind of expression it is named
        if (part instanceof String && "_metadata".equalsIgnoreCase((String) part)) throw new Refused("_metadata");
        if (part instanceof ExpressionWithUnresolvedIdentifier) throw new Refused("IDENTIFIER()");
        if (part instanceof UnresolvedFunction) judgeFunction(((UnresolvedFunction) part).nameParts());
        if (part instanceof UnresolvedGenerator) judgeFunction(((UnresolvedGenerator) part).name().nameParts());
        Iterator parts = part instanceof Iterable ? ((Iterable) part).iterator()
            : part instanceof Product ? ((Product) part).productIterator() : null;
        while (parts != null && parts.hasNext()) judge(parts.next());
    }

    private static void judgePlan(LogicalPlan plan) {
        String kind = plan.getClass().getSimpleName();
        if (!READS.contains(kind) && !LOOKS.contains(kind)) throw new Refused(plan.nodeName());
        boolean showsPlaces = plan instanceof DescribeRelation && ((DescribeRelation) plan).isExtended()
            || plan instanceof DescribeColumn && ((DescribeColumn) plan).isExtended();
        if (showsPlaces) throw new Refused("DESCRIBE EXTENDED");
        if (plan instanceof UnresolvedRelation) {
            judgeName(((UnresolvedRelation) plan).multipartIdentifier(), false);
            if (!((UnresolvedRelation) plan).options().isEmpty()) throw new Refused("a table with options");
        }
        if (plan instanceof UnresolvedTable) judgeName(((UnresolvedTable) plan).multipartIdentifier(), false);
        if (plan instanceof UnresolvedTableOrView) judgeName(((UnresolvedTableOrView) plan).multipartIdentifier(), false);
        if (plan instanceof UnresolvedNamespace) judgeName(((UnresolvedNamespace) plan).multipartIdentifier(), true);
        if (plan instanceof UnresolvedTableValuedFunction) judgeFunction(((UnresolvedTableValuedFunction) plan).name());
    }

    /** Names are gold, gold.table, or a table alone (a name of WITH, or one of the only database that is ever current). */
    private static void judgeName(Seq parts, boolean isDatabase) {
        int first = parts.size() > (isDatabase ? 1 : 2) && "spark_catalog".equals(parts.head()) ? 1 : 0;
        int size = parts.size() - first;
        boolean isGold = size == 0 || Gold.NAME.equalsIgnoreCase((String) parts.apply(first));
        if (isDatabase ? !(size <= 1 && isGold) : !(size == 1 || (size == 2 && isGold))) throw new Refused(parts.mkString("."));
    }

    private static void judgeFunction(Seq parts) {
        String name = ((String) parts.last()).toLowerCase();
        FunctionIdentifier identifier = new FunctionIdentifier(name);
        Option found = FunctionRegistry$.MODULE$.builtin().lookupFunction(identifier);
        if (found.isEmpty()) found = TableFunctionRegistry$.MODULE$.builtin().lookupFunction(identifier);
        boolean isKnown = parts.size() == 1 && found.isDefined() && GROUPS.contains(((ExpressionInfo) found.get()).getGroup());
        if (!isKnown && !(parts.size() == 1 && FUNCTIONS.contains(name))) throw new Refused(name + "()");
    }

    private static Set names(String... names) {
        return new HashSet(Arrays.asList(names));
    }
}

class Refused extends RuntimeException {
    Refused(String what) {
        super("JDBC reads the gold tables and nothing else: " + what + " is refused; use Spark Connect for it.", null, false, false);
    }
}
